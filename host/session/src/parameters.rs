use std::sync::Arc;

use howdah_wire::backend::ParameterStatus;
use serde::{Deserialize, Serialize};

/// Parameters that servers report, by name, in the order of their first report. Shared by all who have the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "Vec<(Box<str>, Box<str>)>", into = "Vec<(Box<str>, Box<str>)>")]
pub struct Parameters(Arc<Vec<(Box<str>, Box<str>)>>);

impl From<Vec<(Box<str>, Box<str>)>> for Parameters {
    fn from(mut parameters: Vec<(Box<str>, Box<str>)>) -> Parameters {
        let untold = parameters.iter_mut().filter(|(name, _)| !is_told(name));
        untold.for_each(|(_, value)| *value = "off".into());
        Parameters(Arc::new(parameters))
    }
}

impl From<Parameters> for Vec<(Box<str>, Box<str>)> {
    fn from(parameters: Parameters) -> Vec<(Box<str>, Box<str>)> {
        Arc::unwrap_or_clone(parameters.0)
    }
}

/// Whether a client learns of a parameter. `in_hot_standby` is off for it: it reads from replicas too, and does not notice.
fn is_told(name: &str) -> bool {
    name != "in_hot_standby"
}

impl Parameters {
    /// The value of one. Names compare without case, as those of settings.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Whether these are the very same: without a look at them.
    pub fn is(&self, other: &Parameters) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Notes a report. False: clients do not learn of it.
    pub fn report(&mut self, name: &[u8], value: &[u8]) -> bool {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        if !is_told(&name) {
            return false;
        }
        let parameters = Arc::make_mut(&mut self.0);
        match parameters.iter_mut().find(|(n, _)| **n == *name) {
            Some(entry) => entry.1 = value.into(),
            None => parameters.push((name.as_ref().into(), value.into())),
        }
        true
    }

    /// Tells a client that knows `known` what has changed, and remembers it. A server says nothing of what it does not
    /// have; then the client keeps what it knows.
    ///
    /// Nearly always both know the same. What is found to be the same becomes the very same, that of the lower address,
    /// so that in the end all who have it share it, and need not compare it again.
    pub fn tell(&mut self, known: &mut Parameters, out: &mut bytes::BytesMut) {
        if Arc::ptr_eq(&self.0, &known.0) {
            return;
        }
        if self.0 == known.0 {
            match Arc::as_ptr(&self.0) < Arc::as_ptr(&known.0) {
                true => known.0 = Arc::clone(&self.0),
                false => self.0 = Arc::clone(&known.0),
            }
            return;
        }
        for (name, value) in self.0.iter() {
            if known.get(name) != Some(&**value) {
                ParameterStatus { name: name.as_bytes(), value: value.as_bytes() }.write(out);
            }
        }
        known.0 = Arc::clone(&self.0);
    }

    /// All as a new client is told of them.
    pub fn greet(&self, out: &mut bytes::BytesMut) {
        for (name, value) in self.0.iter() {
            ParameterStatus { name: name.as_bytes(), value: value.as_bytes() }.write(out);
        }
    }
}

impl FromIterator<(Box<str>, Box<str>)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (Box<str>, Box<str>)>>(parameters: I) -> Parameters {
        parameters.into_iter().collect::<Vec<_>>().into()
    }
}
