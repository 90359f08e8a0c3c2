use bytes::{BufMut, BytesMut};

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame::{self, put_string};

/// Authentication*: what the server wants to know, or that it knows enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// The client is who it says.
    Ok,
    /// Kerberos V5, no longer used.
    KerberosV5,
    /// A password in clear text.
    CleartextPassword,
    /// A password hashed with this salt.
    Md5Password {
        /// Salt.
        salt: [u8; 4],
    },
    /// GSSAPI.
    Gss,
    /// GSSAPI or SSPI data.
    GssContinue(&'a [u8]),
    /// SSPI.
    Sspi,
    /// SASL with one of these mechanisms: strings, each with its zero, and an empty one.
    Sasl(&'a [u8]),
    /// SASL data.
    SaslContinue(&'a [u8]),
    /// Last SASL data.
    SaslFinal(&'a [u8]),
}

impl<'a> Authentication<'a> {
    /// # Errors
    /// A method that the protocol does not know.
    pub fn read(body: &'a [u8]) -> Result<Authentication<'a>, BodyError> {
        let mut body = Body(body);
        let method = body.u32()?;
        let rest = body.0;
        Ok(match method {
            0 => Authentication::Ok,
            2 => Authentication::KerberosV5,
            3 => Authentication::CleartextPassword,
            5 => match rest.first_chunk() {
                Some(salt) => Authentication::Md5Password { salt: *salt },
                None => return Err(BodyError::Short),
            },
            7 => Authentication::Gss,
            8 => Authentication::GssContinue(rest),
            9 => Authentication::Sspi,
            10 => Authentication::Sasl(rest),
            11 => Authentication::SaslContinue(rest),
            12 => Authentication::SaslFinal(rest),
            _ => return Err(BodyError::Value),
        })
    }

    /// Whether a SASL mechanism is offered.
    pub fn offers(&self, mechanism: &str) -> bool {
        let Authentication::Sasl(list) = self else { return false };
        list.split(|b| *b == 0).any(|name| name == mechanism.as_bytes())
    }

    /// Appends the message.
    pub fn write(&self, out: &mut BytesMut) {
        frame::write(out, tag::AUTHENTICATION, |out| {
            let (method, rest): (u32, &[u8]) = match self {
                Authentication::Ok => (0, b""),
                Authentication::KerberosV5 => (2, b""),
                Authentication::CleartextPassword => (3, b""),
                Authentication::Md5Password { salt } => (5, salt),
                Authentication::Gss => (7, b""),
                Authentication::GssContinue(data) => (8, data),
                Authentication::Sspi => (9, b""),
                Authentication::Sasl(list) => (10, list),
                Authentication::SaslContinue(data) => (11, data),
                Authentication::SaslFinal(data) => (12, data),
            };
            out.put_u32(method);
            out.put_slice(rest);
        });
    }

    /// Appends AuthenticationSASL with these mechanisms.
    pub fn write_sasl(out: &mut BytesMut, mechanisms: &[&str]) {
        frame::write(out, tag::AUTHENTICATION, |out| {
            out.put_u32(10);
            for mechanism in mechanisms {
                put_string(out, mechanism.as_bytes());
            }
            out.put_u8(0);
        });
    }
}
