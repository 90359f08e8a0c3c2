use crate::certificate::Certificate;
use crate::config::reader::Item;
use crate::config::value::{Value, parsed};

/// A name that a client's certificate may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertName {
    /// The common name of its subject.
    Common(String),
    /// A host among its alternative names.
    Dns(String),
    /// A mail address among its alternative names.
    Email(String),
}

impl CertName {
    /// Whether the certificate has this name. Upper and lower case are the same in names of hosts alone.
    pub(crate) fn is_of(&self, certificate: &Certificate) -> bool {
        match self {
            CertName::Common(name) => certificate.common_name().as_ref() == Some(name),
            CertName::Dns(name) => {
                certificate.dns_names().any(|one| one.eq_ignore_ascii_case(name))
            }
            CertName::Email(name) => certificate.mail_addresses().any(|one| one == name),
        }
    }
}

fn parse(text: &str) -> Result<CertName, String> {
    match text.split_once(':') {
        Some(("CN", name)) if !name.is_empty() => Ok(CertName::Common(name.to_owned())),
        Some(("DNS", name)) if !name.is_empty() => Ok(CertName::Dns(name.to_owned())),
        Some(("email", name)) if !name.is_empty() => Ok(CertName::Email(name.to_owned())),
        _ => Err(format!(
            "\"{text}\" is no name such as \"CN:app\", \"DNS:app.example\" or \"email:app@example\""
        )),
    }
}

impl Value for CertName {
    fn read(item: &Item<'_>) -> Option<CertName> {
        parsed(item, "a name such as \"CN:app\"", parse)
    }

    fn kind() -> String {
        "name".to_owned()
    }

    fn show(&self) -> String {
        match self {
            CertName::Common(name) => format!("\"CN:{name}\""),
            CertName::Dns(name) => format!("\"DNS:{name}\""),
            CertName::Email(name) => format!("\"email:{name}\""),
        }
    }
}
