//! PODs: the teams whose managers decide on requests.

use crate::ids::PodId;
use crate::text::{DisplayName, Email};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pod {
    pub id: PodId,
    pub name: DisplayName,
    /// Manages this POD beside the managers whose own POD it is.
    pub manager_email: Option<Email>,
    pub description: Option<String>,
    pub active: bool,
}
