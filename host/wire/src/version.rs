/// A protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 3 in every PostgreSQL since 7.4.
    pub major: u16,
    /// 0, or 2 since PostgreSQL 18.
    pub minor: u16,
}

impl Version {
    /// Spoken by everybody.
    pub const V3_0: Version = Version { major: 3, minor: 0 };
    /// Cancel keys of up to 256 bytes (PostgreSQL 18).
    pub const V3_2: Version = Version { major: 3, minor: 2 };

    /// From the first four bytes of a start-up packet.
    pub const fn from_code(code: u32) -> Version {
        Version { major: (code >> 16) as u16, minor: code as u16 }
    }

    /// As in a start-up packet.
    pub const fn code(self) -> u32 {
        ((self.major as u32) << 16) | self.minor as u32
    }

    /// The version to speak with a client that asked for this one: its own, up to 3.2. None when the major
    /// version differs. As in PostgreSQL (backend_startup.c, `FrontendProtocol`), 3.1, which no release ever
    /// defined, is taken at its word and differs from 3.0 in nothing.
    pub fn negotiate(self) -> Option<Version> {
        (self.major == 3).then(|| self.min(Version::V3_2))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
