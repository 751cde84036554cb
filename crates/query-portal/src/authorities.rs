//! Who may sign the certificates of MongoDB targets: the driver takes one file, the configuration names any number.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pg_tls::Authorities;

use crate::system::random_text;

/// Where systems keep the certificates of the authorities that they trust, as one file.
const SYSTEM: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// One file with all of them. `None` leaves it to the driver, which knows Mozilla's list: for a system that has none.
pub(crate) fn one_file(authorities: &[Authorities]) -> anyhow::Result<Option<PathBuf>> {
    let files: Vec<PathBuf> = authorities
        .iter()
        .filter_map(|one| match one {
            Authorities::System => of_system(),
            Authorities::File(path) => Some(path.clone()),
        })
        .collect();
    match files.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        several => Ok(Some(joined(several)?)),
    }
}

fn of_system() -> Option<PathBuf> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    named.into_iter().chain(SYSTEM.iter().map(PathBuf::from)).find(|path| path.is_file())
}

/// Certificates are public, but nobody else may put another one among them.
fn joined(files: &[PathBuf]) -> anyhow::Result<PathBuf> {
    let mut all = vec![];
    for file in files {
        all.extend(read(file)?);
        all.push(b'\n');
    }
    let path = std::env::temp_dir().join(format!("query-portal-authorities-{}.pem", random_text(16)));
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("{} cannot be made", path.display()))?;
    out.write_all(&all).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file)
        .with_context(|| format!("{}, which targets.tls_authorities names, cannot be read", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_files_become_one_that_only_we_can_write() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, name).unwrap();
            path
        };
        let (a, b) = (file("a"), file("b"));
        let one = [Authorities::File(a.clone())];
        assert_eq!(one_file(&one).unwrap(), Some(a.clone()));
        let joined = one_file(&[Authorities::File(a), Authorities::File(b)]).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&joined).unwrap(), "a\nb\n");
        assert_eq!(fs::metadata(&joined).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(joined).unwrap();
        let missing = [Authorities::File("/nowhere".into()), Authorities::File("/nowhere".into())];
        assert!(one_file(&missing).unwrap_err().to_string().contains("/nowhere"));
    }
}
