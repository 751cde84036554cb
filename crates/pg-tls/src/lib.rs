//! TLS for connections to PostgreSQL, in the meaning that libpq gives to `sslmode`.
//!
//! The portal database and the targets are reached with the same checks, so the checks are here once. This crate must
//! not know where a connection leads to, nor who asks for it, and it decides nothing: which check fits is its caller's
//! decision, and so is a connection without TLS.

mod verifier;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Socket;
use tokio_postgres::tls::MakeTlsConnect;
pub use tokio_postgres_rustls::MakeRustlsConnect;

/// An encrypted connection's bytes.
pub type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// What is looked at in a server's certificate.
#[derive(Clone, Debug)]
pub enum Check {
    /// Nothing, as in `require`: the connection is encrypted, and nobody knows with whom.
    Nothing,
    /// A known authority has signed it, as in `verify-ca`.
    Authority(Vec<Authorities>),
    /// A known authority has signed it for exactly this host, as in `verify-full`.
    AuthorityAndHost(Vec<Authorities>),
}

/// Who may sign a server's certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Authorities {
    /// Those of the system; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    System,
    /// Those in this file, as PEM.
    File(PathBuf),
}

/// Why there can be no connection with such a check.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the file {file} with certificate authorities cannot be read: {reason}")]
    Unreadable { file: String, reason: String },
    #[error("the file {0} holds no certificate; one in PEM begins with -----BEGIN CERTIFICATE-----")]
    Empty(String),
    #[error(
        "the system knows no certificate authority: install ca-certificates, or name a file of authorities"
    )]
    NoAuthorities,
    #[error("the certificate authorities cannot be used: {0}")]
    Unusable(String),
}

/// Makes the TLS side of connections. Files are read now, and not again.
pub fn connector(check: &Check) -> Result<MakeRustlsConnect, TlsError> {
    // The provider is named here, so that nothing depends on what the process has installed.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match check {
        Check::Nothing => verifier::anybody(provider.clone()),
        Check::Authority(known) => verifier::any_host(roots(known)?, provider.clone()).map_err(unusable)?,
        Check::AuthorityAndHost(known) => {
            verifier::this_host(roots(known)?, provider.clone()).map_err(unusable)?
        }
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn roots(known: &[Authorities]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for source in known {
        match source {
            Authorities::System => {
                // A system's collection may hold some that nobody can read; the others do.
                let (usable, _) =
                    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if usable == 0 {
                    return Err(TlsError::NoAuthorities);
                }
            }
            Authorities::File(file) => {
                let certificates = in_file(file)?;
                if certificates.is_empty() {
                    return Err(TlsError::Empty(file.display().to_string()));
                }
                for certificate in certificates {
                    roots.add(certificate).map_err(|error| unreadable(file, &error))?;
                }
            }
        }
    }
    Ok(roots)
}

fn in_file(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    // Read as a whole first: the message of the system is clearer than the parser's around it.
    let text = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::Unreadable { file: file.display().to_string(), reason: reason.to_string() }
}

fn unusable(error: impl std::fmt::Display) -> TlsError {
    TlsError::Unusable(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    fn message(content: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("authorities.pem");
        std::fs::write(&file, content).unwrap();
        let check = Check::AuthorityAndHost(vec![Authorities::File(file.clone())]);
        let message = connector(&check).err().unwrap().to_string();
        assert!(message.contains(file.to_str().unwrap()), "{message}");
        message
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_reason() {
        assert!(message("").contains("holds no certificate"));
        assert!(message("just a text").contains("holds no certificate"));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(message(broken).contains("cannot be read"));
        let missing = Check::Authority(vec![Authorities::File("/no/such/file.pem".into())]);
        let message = connector(&missing).err().unwrap().to_string();
        assert!(message.contains("/no/such/file.pem") && message.contains("No such file"), "{message}");
    }
}
