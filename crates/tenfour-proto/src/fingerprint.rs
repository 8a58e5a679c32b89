//! The pin of a public key.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// SHA-256 of a key's SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7), written `SHA256:` and 43
/// characters of base64 without padding, as OpenSSH writes its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The pin of the key whose SubjectPublicKeyInfo, in DER, is given.
    pub fn of_public_key(subject_public_key_info: &[u8]) -> Self {
        Fingerprint(hmac_sha256::Hash::hash(subject_public_key_info))
    }

    /// The pin with these 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Fingerprint(bytes)
    }

    /// The 32 bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, ParseFingerprintError> {
        let encoded = text.strip_prefix("SHA256:").ok_or(ParseFingerprintError)?;
        let bytes = STANDARD_NO_PAD
            .decode(encoded.trim_end_matches('='))
            .map_err(|_| ParseFingerprintError)?;
        Ok(Fingerprint(bytes.try_into().map_err(|_| ParseFingerprintError)?))
    }
}

/// A text that is not a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is `SHA256:` and 43 characters of base64")]
pub struct ParseFingerprintError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_again() {
        let pin = Fingerprint::of_public_key(b"a key");
        let text = pin.to_string();
        assert_eq!(text.len(), "SHA256:".len() + 43);
        assert_eq!(text.parse(), Ok(pin));
        assert_eq!("SHA256:short".parse::<Fingerprint>(), Err(ParseFingerprintError));
        assert_eq!("MD5:x".parse::<Fingerprint>(), Err(ParseFingerprintError));
    }
}
