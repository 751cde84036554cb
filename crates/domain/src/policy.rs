//! Who may do what. Every use case asks here, and nothing else decides.

use crate::ids::PodId;
use crate::pod::Pod;
use crate::request::Request;
use crate::target::Target;
use crate::user::{Actor, Permission, Role};

/// Something that a person may want to do with a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RequestAction {
    See,
    Approve,
    Reject,
    Edit,
    Withdraw,
    Clone,
    Cancel,
    Resolve,
}

impl RequestAction {
    pub const ALL: [Self; 8] = [
        Self::See,
        Self::Approve,
        Self::Reject,
        Self::Edit,
        Self::Withdraw,
        Self::Clone,
        Self::Cancel,
        Self::Resolve,
    ];
}

/// Why somebody may not. The message is a sentence for that person.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denied {
    #[error("You may not see this request: it is neither yours nor one of a POD that you manage.")]
    NotVisible,
    #[error(
        "Nobody decides on their own request, whatever their role. Ask another manager of the POD or an admin."
    )]
    OwnRequest,
    #[error("Only a manager of the request's POD or an admin may do this.")]
    NotDecider,
    #[error("Only the person who submitted the request may do this.")]
    NotRequester,
    #[error("Requests to this instance are decided in the portal itself, not in Slack.")]
    PortalOnly,
    #[error("Your roles do not include the permission {0}.")]
    Permission(Permission),
    #[error("You may submit for your own POD and the PODs that you manage only.")]
    ForeignPod,
    #[error("The POD has no access to this instance. Ask an admin to allow it.")]
    PodWithoutAccess,
    #[error(
        "Nobody changes their own roles, POD or activity, or sets their own password this way. Ask another admin."
    )]
    OwnAccount,
    #[error("The account has or would get permissions or PODs that you do not have yourself. Ask an admin.")]
    StrongerAccount,
    #[error("Only who belongs to a POD or leads it, or an admin, may change who leads it. Ask an admin.")]
    ForeignLeader,
}

/// Whether a person may do something with a request.
pub fn on_request(actor: &Actor, action: RequestAction, request: &Request) -> Result<(), Denied> {
    let own = request.is_requester(actor.user);
    if !own && !sees(actor, request) {
        return Err(Denied::NotVisible);
    }
    match action {
        RequestAction::See => Ok(()),
        RequestAction::Approve | RequestAction::Reject | RequestAction::Resolve => {
            if own {
                Err(Denied::OwnRequest)
            } else {
                when(decides(actor, request), Denied::NotDecider)
            }
        }
        RequestAction::Cancel => when(own || decides(actor, request), Denied::NotDecider),
        RequestAction::Withdraw => when(own, Denied::NotRequester),
        RequestAction::Edit | RequestAction::Clone => {
            when(own, Denied::NotRequester)?;
            permission(actor, Permission::SubmitRequests)
        }
    }
}

/// Whether a decision about a request to this target may be made in Slack.
pub fn decide_in_slack(target: Option<&Target>) -> Result<(), Denied> {
    when(target.is_some_and(|target| target.slack_decisions), Denied::PortalOnly)
}

/// Whether a person's roles include a permission.
pub fn permission(actor: &Actor, permission: Permission) -> Result<(), Denied> {
    when(actor.may(permission), Denied::Permission(permission))
}

/// Whether a person may submit for a POD to a target. Admins may for every POD.
pub fn submit(actor: &Actor, pod: &PodId, target: &Target) -> Result<(), Denied> {
    permission(actor, Permission::SubmitRequests)?;
    when(actor.may(Permission::ReadAllRequests) || actor.belongs_to_or_leads(pod), Denied::ForeignPod)?;
    when(target.admits_pod(pod), Denied::PodWithoutAccess)
}

/// Which targets a person sees: those of their PODs, all for who manages targets.
pub fn sees_target(actor: &Actor, target: &Target) -> bool {
    actor.may(Permission::ManageTargets) || target.pods.iter().any(|pod| actor.belongs_to_or_leads(pod))
}

/// Whether a person may set up an account with these roles and PODs, or change one from or to them: who manages people
/// must not become stronger by it, neither directly nor through an account that they can enter. So everything that the
/// account may do, the person has to be able to do themselves: the roles must permit nothing that theirs do not, and
/// every POD, of which it is a member or which it leads, must be one of theirs. PODs bound nobody whose permissions
/// reach beyond all of them: admins.
pub fn hand_out<'a>(
    actor: &Actor,
    roles: impl IntoIterator<Item = &'a Role>,
    pods: impl IntoIterator<Item = &'a PodId>,
) -> Result<(), Denied> {
    permission(actor, Permission::ManageUsers)?;
    let covered = roles.into_iter().all(|role| actor.permissions.covers(&role.permissions))
        && pods.into_iter().all(|pod| reaches(actor, pod));
    when(covered, Denied::StrongerAccount)
}

/// Whether a person may change a POD as far as that decides who leads it: by naming another manager, or by switching a
/// POD off or on that has one. With it they could give its power to themselves or to an account that they can enter,
/// or take it from an account in order to enter it. So only those may who are in the POD or lead it already, and those
/// whose permissions reach beyond all PODs. A new POD is nobody's yet.
pub fn change_leader(actor: &Actor, before: Option<&Pod>, after: &Pod) -> Result<(), Denied> {
    permission(actor, Permission::ManagePods)?;
    let leads = |pod: &Pod| pod.manager_email.clone().map(|email| (email, pod.active));
    let same = before.and_then(leads) == leads(after);
    when(same || reaches(actor, &after.id), Denied::ForeignLeader)
}

/// Whether a person can do for a POD whatever their roles permit. Membership and leadership matter to nothing but
/// these permissions, so whoever has them all is bound by no POD.
fn reaches(actor: &Actor, pod: &PodId) -> bool {
    let beyond = [Permission::ReadAllRequests, Permission::DecideAllRequests, Permission::ManageTargets];
    beyond.into_iter().all(|permission| actor.may(permission)) || actor.belongs_to_or_leads(pod)
}

fn sees(actor: &Actor, request: &Request) -> bool {
    actor.may(Permission::ReadAllRequests)
        || (actor.may(Permission::ReadPodRequests) && actor.belongs_to_or_leads(&request.pod.id))
}

fn decides(actor: &Actor, request: &Request) -> bool {
    actor.may(Permission::DecideAllRequests)
        || (actor.may(Permission::DecidePodRequests) && actor.belongs_to_or_leads(&request.pod.id))
}

fn when(condition: bool, denied: Denied) -> Result<(), Denied> {
    if condition { Ok(()) } else { Err(denied) }
}

/// Which requests a list may show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Visibility {
    /// All requests.
    All,
    /// The person's own and those of these PODs.
    OwnAndPods { user: crate::ids::UserId, pods: Vec<PodId> },
}

/// What a person's lists may show.
pub fn visibility(actor: &Actor) -> Visibility {
    if actor.may(Permission::ReadAllRequests) {
        return Visibility::All;
    }
    let pods =
        if actor.may(Permission::ReadPodRequests) { actor.pods().into_iter().collect() } else { vec![] };
    Visibility::OwnAndPods { user: actor.user, pods }
}
