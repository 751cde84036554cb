//! How connections to targets are encrypted, in the meaning of `sslmode`.

use std::sync::OnceLock;

use domain::target::TlsMode;
use pg_tls::{Authorities, Check, MakeRustlsConnect, TlsError};

/// What a connection and its cancel requests use. There is no falling back from TLS to plain text.
#[derive(Clone)]
pub(crate) enum Tls {
    Off,
    On(MakeRustlsConnect),
}

/// Makes TLS settings once per mode.
pub(crate) struct TlsSettings {
    authorities: Vec<Authorities>,
    require: OnceLock<MakeRustlsConnect>,
    verify_ca: OnceLock<MakeRustlsConnect>,
    verify_full: OnceLock<MakeRustlsConnect>,
}

impl TlsSettings {
    pub(crate) fn new(authorities: Vec<Authorities>) -> Self {
        let [require, verify_ca, verify_full] = [const { OnceLock::new() }; 3];
        Self { authorities, require, verify_ca, verify_full }
    }

    pub(crate) fn of(&self, mode: TlsMode) -> Result<Tls, TlsError> {
        let (kept, check) = match mode {
            TlsMode::Disable => return Ok(Tls::Off),
            TlsMode::Require => (&self.require, Check::Nothing),
            TlsMode::VerifyCa => (&self.verify_ca, Check::Authority(self.authorities.clone())),
            TlsMode::VerifyFull => (&self.verify_full, Check::AuthorityAndHost(self.authorities.clone())),
        };
        if let Some(made) = kept.get() {
            return Ok(Tls::On(made.clone()));
        }
        let made = pg_tls::connector(&check)?;
        Ok(Tls::On(kept.get_or_init(|| made).clone()))
    }
}
