//! How connections to targets are encrypted, in the meaning of `sslmode`.

use std::sync::{Arc, OnceLock};

use domain::target::TlsMode;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use tokio_postgres::config::SslMode;
use tokio_postgres::{CancelToken, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What a connection and its cancel requests use.
#[derive(Clone)]
pub(crate) enum Tls {
    Off,
    On(MakeRustlsConnect),
}

impl Tls {
    /// There is no falling back from TLS to plain text.
    pub(crate) const fn ssl_mode(&self) -> SslMode {
        match self {
            Self::Off => SslMode::Disable,
            Self::On(_) => SslMode::Require,
        }
    }

    /// Asks the server to cancel what runs; the answer comes on the connection itself.
    pub(crate) async fn cancel(&self, token: CancelToken) {
        let asked = match self {
            Self::Off => token.cancel_query(NoTls).await,
            Self::On(tls) => token.cancel_query(tls.clone()).await,
        };
        if asked.is_err() {
            // Whoever waits for the answer gives up in time and closes the connection.
            tracing::debug!("a cancel request did not reach the target");
        }
    }
}

/// Makes TLS settings once per mode.
#[derive(Default)]
pub(crate) struct TlsSettings {
    require: OnceLock<MakeRustlsConnect>,
    verify_ca: OnceLock<MakeRustlsConnect>,
    verify_full: OnceLock<MakeRustlsConnect>,
}

impl TlsSettings {
    pub(crate) fn of(&self, mode: TlsMode) -> Result<Tls, Error> {
        let kept = match mode {
            TlsMode::Disable => return Ok(Tls::Off),
            TlsMode::Require => &self.require,
            TlsMode::VerifyCa => &self.verify_ca,
            TlsMode::VerifyFull => &self.verify_full,
        };
        if let Some(made) = kept.get() {
            return Ok(Tls::On(made.clone()));
        }
        // The provider is named here, so that nothing depends on what the process has installed.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match mode {
            TlsMode::Disable | TlsMode::Require => Arc::new(Unchecked(provider.clone())),
            TlsMode::VerifyCa => Arc::new(AnyName(web_pki(provider.clone())?)),
            TlsMode::VerifyFull => web_pki(provider.clone())?,
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Tls::On(kept.get_or_init(|| MakeRustlsConnect::new(config)).clone()))
    }
}

/// The system's authorities; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
fn web_pki(provider: Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| Error::Other(OtherError(Arc::new(error))))
}

/// `require`: the connection is encrypted, and nothing is known about the other side.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// `verify-ca`: a certificate of a known authority, whatever name it has.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is looked at last: an error about the name means that the chain was good.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
