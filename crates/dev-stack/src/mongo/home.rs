//! MongoDB's part of a server's folder: whether its replica set is complete, its port, key and certificate.
//!
//! `unfinished` is there while the replica set is being made: an interrupted first start leaves it behind, and the
//! next one begins anew. `port` is the port that the replica set knows itself by. `key`, `tls.pem` and
//! `tls-clients.pem` are written at every start.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::server::MongoTls;
use crate::account::{self, Account};
use crate::error::DevStackError;
use crate::folder::{DataFolder, make_private, random_name};
use crate::net;

const UNFINISHED: &str = "unfinished";
const PORT: &str = "port";
const KEY: &str = "key";
const CERTIFICATE: &str = "tls.pem";
const CLIENTS: &str = "tls-clients.pem";

/// A folder for a replica set of one member, which may still have to be made.
#[derive(Debug)]
pub(crate) struct Home {
    folder: DataFolder,
}

impl Home {
    /// Prepares the folder for whoever can run this program.
    pub(crate) fn prepare(path: &Path, program: &Path) -> Result<Self, DevStackError> {
        let own = [UNFINISHED, PORT, KEY, CERTIFICATE, CLIENTS];
        let folder =
            DataFolder::prepare(path, &own, |cluster| Account::choose_for_program(cluster, program))?;
        account::check_reachable(program, folder.account())?;
        Ok(Self { folder })
    }

    pub(crate) fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// Whether a first start has come to its end.
    pub(crate) fn is_complete(&self) -> bool {
        self.folder.cluster().exists() && !self.file(UNFINISHED).exists()
    }

    /// The port to serve: the wanted one, the one of the replica set, or a free one.
    pub(crate) fn port(&self, wanted: Option<u16>) -> Result<u16, DevStackError> {
        if self.is_complete() {
            let kept = self.kept_port()?;
            return match wanted {
                Some(wanted) if wanted != kept => {
                    let folder = self.folder.path().to_owned();
                    Err(DevStackError::OtherPort { folder, kept, wanted })
                }
                _ => Ok(kept),
            };
        }
        let free =
            || net::free_port().map_err(DevStackError::io("find a free port on", Path::new("127.0.0.1")));
        wanted.map_or_else(free, Ok)
    }

    fn kept_port(&self) -> Result<u16, DevStackError> {
        let path = self.file(PORT);
        let text = fs::read_to_string(&path).map_err(DevStackError::io("read", &path))?;
        let wrong = |error| DevStackError::io("read a port from", &path)(std::io::Error::other(error));
        text.trim().parse().map_err(wrong)
    }

    /// Makes room for a new replica set, where an interrupted start may have left half of one.
    pub(crate) fn begin(&self, port: u16) -> Result<(), DevStackError> {
        self.folder.write(UNFINISHED, "")?;
        let cluster = self.folder.cluster();
        if cluster.exists() {
            fs::remove_dir_all(&cluster).map_err(DevStackError::io("remove", &cluster))?;
        }
        make_private(&cluster)?;
        account::hand_over(&cluster, self.folder.account())?;
        self.folder.write(PORT, &port.to_string()).map(drop)
    }

    /// Notes that the replica set has its first user.
    pub(crate) fn complete(&self) -> Result<(), DevStackError> {
        let path = self.file(UNFINISHED);
        fs::remove_file(&path).map_err(DevStackError::io("remove", &path))
    }

    pub(crate) fn password(&self) -> Result<String, DevStackError> {
        self.folder.password(self.is_complete())
    }

    /// The key by which members know each other. With one member, any will do, so each start makes a new one.
    pub(crate) fn write_key(&self) -> Result<PathBuf, DevStackError> {
        self.write_secret(KEY, &random_name(48)?)
    }

    /// The server's certificate, and the authority of its clients' certificates.
    pub(crate) fn write_tls(&self, tls: &MongoTls) -> Result<(PathBuf, Option<PathBuf>), DevStackError> {
        let certificate = self.write_secret(CERTIFICATE, &tls.certificate_and_key)?;
        let clients = tls.client_authority.as_ref().map(|pem| self.write_secret(CLIENTS, pem)).transpose()?;
        Ok((certificate, clients))
    }

    fn write_secret(&self, name: &str, text: &str) -> Result<PathBuf, DevStackError> {
        let path = self.file(name);
        if path.exists() {
            // The one of an earlier start cannot be written to.
            fs::remove_file(&path).map_err(DevStackError::io("remove", &path))?;
        }
        self.folder.write(name, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o400))
            .map_err(DevStackError::io("set the permissions of", &path))?;
        Ok(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
