//! Who is told of what.

use domain::job::Audience;
use domain::request::{CancelAsked, NotificationKind, Request, State};
use testkit::builders::{approver, at, request};

/// The request of ada, whose execution was stopped by somebody, or by a server that drains.
fn cancelled_by(name: Option<&str>) -> Request {
    let mut cancelled = request().cancelled();
    let State::Cancelled { asked, .. } = &mut cancelled.state else { panic!("it is cancelled") };
    *asked = CancelAsked { by: name.map(approver), at: at(0) };
    cancelled
}

#[test]
fn the_channel_is_told_of_everything_and_the_requester_of_what_others_did() {
    let told: Vec<String> = NotificationKind::ALL
        .into_iter()
        .map(|kind| {
            let request = match kind {
                NotificationKind::Cancelled => cancelled_by(Some("grace")),
                _ => request().pending(),
            };
            let audiences: Vec<&str> = kind.audiences(&request).into_iter().map(Audience::as_str).collect();
            format!("{}: {}", kind.as_str(), audiences.join(", "))
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    submitted: channel
    approved: channel
    rejected: channel, requester
    withdrawn: channel
    expired: channel, requester
    completed: channel, requester
    failed: channel, requester
    cancelled: channel, requester
    interrupted: channel, requester
    ");
}

#[test]
fn who_stopped_their_own_request_is_not_told_of_it() {
    let audiences = |by| NotificationKind::Cancelled.audiences(&cancelled_by(by));
    assert_eq!(audiences(Some("ada")), [Audience::Channel]);
    assert_eq!(audiences(Some("grace")), Audience::ALL);
    assert_eq!(audiences(None), Audience::ALL, "the portal stopped it");
}

#[test]
fn an_audience_is_read_as_it_was_written() {
    for audience in Audience::ALL {
        assert_eq!(Audience::parse(audience.as_str()), Some(audience));
    }
    assert_eq!(Audience::parse("Channel"), None);
}
