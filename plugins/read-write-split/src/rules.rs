//! Rules about who sends a statement.

use howdah_sdk::Settings;

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Nobody says anything.
    None,
    /// Everything goes to the primary.
    ToPrimary,
    /// As if every statement carried the hint for a replica.
    ToReplica,
}

/// The rules, by user and by application.
#[derive(Debug, Default)]
pub struct Rules {
    users_to_primary: Vec<String>,
    users_to_replica: Vec<String>,
    applications_to_primary: Vec<String>,
    applications_to_replica: Vec<String>,
    /// What the classes of these rules have in common: other rules have other classes, and so have other policies.
    stamp: u32,
}

/// The bits of a class that tell the rule; the others are the stamp.
const RULE_BITS: u32 = 0b11;

impl Rules {
    /// Those of the settings.
    pub fn new(settings: &Settings) -> Result<Rules, String> {
        let mut stamp = Stamp::new();
        let mut texts = |name: &str| {
            let texts = settings.texts(name)?.to_vec();
            stamp.add(&texts);
            Ok::<_, String>(texts)
        };
        Ok(Rules {
            users_to_primary: texts("users-to-primary")?,
            users_to_replica: texts("users-to-replica")?,
            applications_to_primary: texts("applications-to-primary")?,
            applications_to_replica: texts("applications-to-replica")?,
            stamp: stamp.get(),
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.users_to_primary.is_empty()
            && self.users_to_replica.is_empty()
            && self.applications_to_primary.is_empty()
            && self.applications_to_replica.is_empty()
    }

    /// The rule for a user with an application.
    pub fn of(&self, user: &str, application: &str) -> Rule {
        let listed = |users: &[String], applications: &[String]| {
            users.iter().any(|name| name == user)
                || applications.iter().any(|name| name == application)
        };
        if listed(&self.users_to_primary, &self.applications_to_primary) {
            Rule::ToPrimary
        } else if listed(&self.users_to_replica, &self.applications_to_replica) {
            Rule::ToReplica
        } else {
            Rule::None
        }
    }

    /// The class of a session that falls under a rule. Never 0, which is nobody's.
    pub fn class(&self, rule: Rule) -> u32 {
        let bits = match rule {
            Rule::None => 1,
            Rule::ToPrimary => 2,
            Rule::ToReplica => 3,
        };
        self.stamp | bits
    }

    /// The rule that a session of this class falls under; none when the class is not of these rules.
    pub fn of_class(&self, class: u32) -> Option<Rule> {
        let rules = [Rule::None, Rule::ToPrimary, Rule::ToReplica];
        rules.into_iter().find(|rule| self.class(*rule) == class)
    }
}

/// FNV-1a over lists of texts.
struct Stamp(u32);

impl Stamp {
    fn new() -> Stamp {
        Stamp(0x811c_9dc5)
    }

    /// No text holds the byte 0xff, so lists that differ look different.
    fn add(&mut self, texts: &[String]) {
        let bytes = texts.iter().flat_map(|text| text.bytes().chain([0xff]));
        for byte in bytes.chain([0xff]) {
            self.0 = (self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }

    fn get(self) -> u32 {
        self.0 & !RULE_BITS
    }
}
