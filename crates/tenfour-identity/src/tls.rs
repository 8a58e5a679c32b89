//! TLS 1.3 between two self-signed certificates, each pinned by its key.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme, version,
};
use tenfour_proto::{Fingerprint, native};

use crate::Identity;
use crate::key;

/// The pin of a certificate's key.
pub fn fingerprint_of(certificate: &CertificateDer<'_>) -> Result<Fingerprint, Error> {
    key::fingerprint_of(certificate)
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    provider().signature_verification_algorithms
}

/// The server's side: every client shows a key; what the key may do is decided afterwards, by HELLO.
pub fn server_config(identity: &Identity) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(Arc::new(KeyVerifier { trust: |_| true }))
        .with_single_cert(vec![identity.certificate()], identity.key())?;
    config.alpn_protocols = vec![native::ALPN.to_vec()];
    // No resumption: rights are looked up on every connection, and a one-shot client could not keep a ticket.
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// The same for HTTP, whose clients show no key.
pub fn web_config(identity: &Identity) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate()], identity.key())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// The client's side. `trust` is asked about the key before ours is shown; `seen` keeps what was shown.
pub fn client_config(
    identity: &Identity,
    trust: impl Fn(Fingerprint) -> bool + Send + Sync + 'static,
    seen: Arc<OnceLock<Fingerprint>>,
) -> Result<Arc<ClientConfig>, Error> {
    let verifier = KeyVerifier {
        trust: move |shown| {
            // One handshake shows one certificate.
            let _ = seen.set(shown);
            trust(shown)
        },
    };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(vec![identity.certificate()], identity.key())?;
    config.alpn_protocols = vec![native::ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    // A pinned key needs no name, and the name is nobody else's business.
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// Takes any well-formed certificate whose owner can sign with its key, if the key is trusted. One for both sides.
struct KeyVerifier<F> {
    trust: F,
}

impl<F> std::fmt::Debug for KeyVerifier<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyVerifier")
    }
}

impl<F: Fn(Fingerprint) -> bool> KeyVerifier<F> {
    fn verify(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        if (self.trust)(fingerprint_of(certificate)?) {
            Ok(())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }
}

/// What both sides must say of signatures, in the same words.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("TLS 1.2 is not offered".into()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signature, &algorithms())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            algorithms().supported_schemes()
        }
    };
}

impl<F: Fn(Fingerprint) -> bool + Send + Sync> ClientCertVerifier for KeyVerifier<F> {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(certificate).map(|()| ClientCertVerified::assertion())
    }

    signatures!();
}

impl<F: Fn(Fingerprint) -> bool + Send + Sync> ServerCertVerifier for KeyVerifier<F> {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(certificate).map(|()| ServerCertVerified::assertion())
    }

    signatures!();
}
