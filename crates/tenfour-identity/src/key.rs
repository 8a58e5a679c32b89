//! An identity: a private key, and the certificate that carries its public half.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use tenfour_proto::Fingerprint;

use super::private_file;

/// One user's key on one host. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<KeyPair>);

struct KeyPair {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    fingerprint: Fingerprint,
}

/// An identity cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("cannot use the key file `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others may read the private key.
    #[error("the key file `{0}` can be read by others")]
    TooOpen(PathBuf),
    /// Not a private key and a certificate in PEM that belong together.
    #[error("the key file `{path}` does not hold a private key and its certificate: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A new key cannot be made.
    #[error("cannot make a key: {0}")]
    Generate(String),
}

impl Identity {
    /// A new key (ECDSA on P-256, which every TLS stack knows) in a certificate signed with itself.
    pub fn generate() -> Result<Self, IdentityError> {
        Ok(Self::generate_pem()?.0)
    }

    fn generate_pem() -> Result<(Self, String), IdentityError> {
        let failed = |error: rcgen::Error| IdentityError::Generate(error.to_string());
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut parameters = rcgen::CertificateParams::new(["tenfour".to_owned()]).map_err(failed)?;
        // Nobody looks at names and dates; a common name makes other tools' listings readable.
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, "tenfour");
        let certificate = parameters.self_signed(&key).map_err(failed)?;
        let pem = format!("{}{}", key.serialize_pem(), certificate.pem());
        let identity = Self::from_pem(pem.as_bytes()).map_err(IdentityError::Generate)?;
        Ok((identity, pem))
    }

    fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("private key: {error}"))?;
        let certificate =
            CertificateDer::from_pem_slice(pem).map_err(|error| format!("certificate: {error}"))?;
        let fingerprint = fingerprint_of(&certificate).map_err(|error| format!("certificate: {error}"))?;
        Ok(Identity(Arc::new(KeyPair {
            certificate,
            key,
            fingerprint,
        })))
    }

    /// Reads the identity in `path`; makes it first if the file is not there.
    pub fn load_or_create(path: &Path) -> Result<Self, IdentityError> {
        match Self::load(path) {
            Err(IdentityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let io = |source| IdentityError::Io {
            path: path.to_owned(),
            source,
        };
        let (_, pem) = Self::generate_pem()?;
        // Two first uses at once agree on one key: whoever comes second reads the first one's.
        private_file::exclusively(path, || match path.exists() {
            true => Ok(()),
            false => private_file::replace(path, pem.as_bytes()),
        })
        .map_err(io)?;
        Self::load(path)
    }

    /// Reads the identity in `path`.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let io = |source| IdentityError::Io {
            path: path.to_owned(),
            source,
        };
        let pem = fs::read(path).map_err(io)?;
        if private_file::is_open_to_others(path).map_err(io)? {
            return Err(IdentityError::TooOpen(path.to_owned()));
        }
        Self::from_pem(&pem).map_err(|reason| IdentityError::Malformed {
            path: path.to_owned(),
            reason,
        })
    }

    /// The pin of this key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// Self-signed; only its key counts.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.0.certificate.clone()
    }

    /// The secret half, for TLS.
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.0.key.clone_key()
    }
}

/// The pin of a certificate's key.
pub(crate) fn fingerprint_of(certificate: &CertificateDer<'_>) -> Result<Fingerprint, rustls::Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    Ok(Fingerprint::of_public_key(&parsed.subject_public_key_info()))
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.0.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn made_on_first_use_and_refused_when_open_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config/identity.pem");
        let identity = Identity::load_or_create(&path).unwrap();
        assert_eq!(
            Identity::load_or_create(&path).unwrap().fingerprint(),
            identity.fingerprint()
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Identity::load(&path), Err(IdentityError::TooOpen(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "nonsense").unwrap();
        assert!(matches!(
            Identity::load(&path),
            Err(IdentityError::Malformed { .. })
        ));
    }
}
