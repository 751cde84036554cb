//! What stands in a message, and which buttons it has.

use domain::request::ExtendedJson;
use domain::request::{Event, ResultKept};

use super::*;

fn check(message: &Message) {
    slack_stand_in::check_blocks(&json(message)).unwrap();
}

#[test]
fn a_new_submission_says_who_wants_what_where() {
    let request = request()
        .text("UPDATE a\nSET b = 1")
        .comments("For ticket *7*")
        .reviewed_with_findings()
        .approvals_needed(2)
        .pending();
    let message = in_channel(&request);
    check(&message);
    let id = request.id;
    let expected = format!(
        "# A request waits for approval\n\
         Has 0 of 2 approvals. Expires at 2026-03-03 09:00 UTC.\n\
         **From** `ada` `ada@example.com`\n\
         **POD** `Team payments` `payments`\n\
         **Target** `Server orders-db` `orders-db` PostgreSQL\n\
         **Database** `orders`\n\
         **Request** `{id}`\n\
         **Query** 2 statements, write\n\
         **Limits** 30 s in all, 5 s for a lock, 100000 rows, 268435456 bytes\n\
         **Comments**\n```\nFor ticket *7*\n```\n\
         **Review**\n```\n2:7: Changes every row: “UPDATE” has no WHERE.\nThis may take long.\n```\n\
         **Text**\n```\nUPDATE a\nSET b = 1\n```\n\
         [Open in the portal](https://portal.example.com/requests/{id})\n\
         (Approve)(Reject)\n"
    );
    assert_eq!(letters(&message), expected);
    assert_eq!(message.text, format!("A request waits for approval: request {id}"));
    assert_eq!(json(&message)[0]["block_id"], format!("delivery-{}", uuid_for("job")));
}

#[test]
fn everything_unusual_that_the_digest_stands_for_is_said() {
    let limits = Limits { timeout: Duration::from_millis(1_500), ..Limits::default() };
    let server = target("orders-db").search_path("app, public").read_only().build();
    let request = request()
        .target(&server)
        .script("fix.js", "db.a.find()")
        .compiled(&["{\"find\":\"a\"}", "{\"ping\":1}"])
        .not_before(at(90))
        .extended_json(ExtendedJson::Canonical)
        .limits(limits)
        .pending();
    let text = letters(&in_channel(&request));
    for line in [
        "PostgreSQL, read-only\n",
        "**Search path** `app, public`\n",
        "**Script** 1 statement, read\n",
        "**File** `fix.js`\n",
        "**Not before** 2026-03-02 09:01:30 UTC\n",
        "**Documents** canonical Extended JSON\n",
        "**Limits** 1.5 s in all",
        "**Commands**\n```\n{\"find\":\"a\"}\n{\"ping\":1}\n```\n",
        "(Approve)(Reject)",
    ] {
        assert!(text.contains(line), "{line:?} is missing in {text}");
    }
}

#[test]
fn the_approve_button_carries_the_digest_of_what_the_message_shows() {
    let request = request().pending();
    let message = in_channel(&request);
    let value = button_value(&message, APPROVE);
    assert_eq!((value.request(), value.digest()), (Some(request.id), Some(request.digest())));
    let value = button_value(&message, REJECT);
    assert_eq!((value.request(), value.digest()), (Some(request.id), None));
    let approve = &slack_stand_in::buttons(&json(&message))[0];
    assert_eq!(
        (&approve["style"], &approve["confirm"]["confirm"]["text"]),
        (&"primary".into(), &"Approve".into())
    );
}

#[test]
fn what_is_not_shown_as_it_is_cannot_be_approved_in_slack() {
    let hidden = "a\u{202e}b";
    let long = "x".repeat(3_001);
    let server = target("orders-db").search_path(hidden).build();
    let named = testkit::builders::user("ada").build();
    let named = domain::user::User { name: testkit::builders::display_name("A\u{200b}da"), ..named };
    let turned = "a = 'א' AND 1 < 2";
    let turning = target("orders-db").search_path(turned).build();
    let turned_name = domain::user::User { name: testkit::builders::display_name("עדה"), ..named.clone() };
    let cases = [
        ("hidden in the text", request().text(hidden)),
        ("hidden in the comments", request().comments(hidden)),
        ("hidden in a file name", request().script(hidden, "1")),
        ("hidden in a command", request().compiled(&[hidden])),
        ("hidden in the search path", request().target(&server)),
        ("hidden in a name", request().requester(&named)),
        ("hidden in the database", request().database(hidden)),
        ("from right to left in the text", request().text(turned)),
        ("from right to left in the comments", request().comments(turned)),
        ("from right to left in a command", request().compiled(&[turned])),
        ("from right to left in the search path", request().target(&turning)),
        ("from right to left in a name", request().requester(&turned_name)),
        ("many lines", request().text(&"SELECT 1\n".repeat(41))),
        ("many commands", request().compiled(&["{\"ping\":1}"; 41])),
        ("many empty lines", request().text("SELECT 1\n\n\n\n\n; DELETE FROM a")),
        ("many spaces", request().text(&format!("SELECT 1{}; DELETE FROM a", " ".repeat(41)))),
        ("long text", request().text(&long)),
        ("long commands", request().compiled(&[&long])),
        ("long file name", request().script(&long[..400], "1")),
    ];
    for (case, request) in cases {
        let message = in_channel(&request.pending());
        check(&message);
        assert_eq!(action_ids(&message), [REJECT], "{case}");
        let text = letters(&message);
        assert!(text.contains("before you approve"), "{case}: {text}");
        assert!(text.contains("[Open in the portal]"), "{case}");
    }
    // The longest text that fits is approved here.
    assert_eq!(action_ids(&in_channel(&request().text(&long[..2_990]).pending())), [APPROVE, REJECT]);
    assert_eq!(action_ids(&in_channel(&request().text("a\r\n\tb").pending())), [APPROVE, REJECT]);
}

#[test]
fn the_longest_of_everything_still_fits_in_a_message() {
    let long = "<".repeat(100_000);
    let request = request()
        .script(&long[..300], &long)
        .compiled(&[&long])
        .comments(&long[..2_000])
        .reviewed_with_findings();
    for state in StateKind::ALL {
        let mut request = request.clone().in_state(state);
        let finding = request.review.findings[0].clone();
        request.review.findings = vec![domain::review::Finding { message: long.clone(), ..finding }; 100];
        check(&in_channel(&request));
        check(&to_requester(NotificationKind::Completed, &request, SlackResults::Preview));
    }
}

#[test]
fn a_target_can_require_that_people_decide_in_the_portal() {
    let request = request().pending();
    for target in [Some(target("orders-db").no_slack_decisions().build()), None] {
        let message = in_channel_about(&request, target);
        assert!(action_ids(&message).is_empty());
        assert!(letters(&message).contains("Decisions about this target are made in the portal itself.\n"));
    }
}

#[test]
fn a_request_that_is_not_pending_has_no_buttons_and_says_how_it_stands() {
    let lines = [
        (
            StateKind::Approved,
            "Approved at 2026-03-02 09:00 UTC. Waits for its execution.\nApproved by `grace@example.com`",
        ),
        (
            StateKind::Rejected,
            "Rejected by `grace@example.com` at 2026-03-02 09:00 UTC.\n**Reason**\n```\nPlease add a WHERE clause.\n```\n",
        ),
        (StateKind::Withdrawn, "Withdrawn by its requester at"),
        (StateKind::Expired, "Expired at"),
        (StateKind::Executing, "Runs since"),
        (StateKind::Completed, "Completed at 2026-03-02 09:00 UTC.\nApproved by `grace@example.com`"),
        (StateKind::Failed, "(`database`).\n"),
        (StateKind::Cancelled, "as asked by `grace@example.com`."),
        (StateKind::Interrupted, "Whether anything took effect is not known"),
    ];
    for (state, line) in lines {
        let message = in_channel(&request().in_state(state));
        check(&message);
        assert!(action_ids(&message).is_empty(), "{state}");
        let text = letters(&message);
        assert!(text.contains(line), "{state}: {text}");
        assert!(!text.contains("division by zero"), "what a server says is not for the channel: {text}");
    }
}

#[test]
fn a_result_is_shown_as_far_as_the_target_allows() {
    let request = request().completed();
    let shown = |results| letters(&to_requester(NotificationKind::Completed, &request, results));
    let head = format!(
        "# Your request is completed\n**Request** `{}`\n**Target** `Server orders-db` `orders`\n\
         Completed at 2026-03-02 09:00 UTC.\n",
        request.id
    );
    let link = format!("[Open in the portal](https://portal.example.com/requests/{})\n", request.id);
    let first = "1. `SELECT` 3 rows (4 counted by the server), cut at the limit.\n";
    let second = "2. `CREATE TABLE`.\n";
    let table = "\n```\n\
                 id               | id\n\
                 ---------------- | ------------\n\
                 9007199254740993 | [\"a\\u0000b\"]\n\
                 1.10             | null\n\
                 é                | []\n```\n";
    assert_eq!(shown(SlackResults::Counts), format!("{head}{first}{second}{link}"));
    assert_eq!(shown(SlackResults::None), format!("{head}The result is in the portal.\n{link}"));
    assert_eq!(shown(SlackResults::Preview), format!("{head}{first}{table}{second}{link}"));
    let gone = told(Audience::Requester, NotificationKind::Completed, &request, None);
    let gone = letters(&direct_message(&gone, None));
    assert_eq!(gone, format!("{head}The result is in the portal.\n"));
}

#[test]
fn what_a_server_said_is_shown_only_where_results_are() {
    let request = request().failed();
    for (results, shown) in
        [(SlackResults::Preview, true), (SlackResults::Counts, false), (SlackResults::None, false)]
    {
        let text = letters(&to_requester(NotificationKind::Failed, &request, results));
        for line in [
            "**Kind** `database`\n",
            "**Code** `22012`\n",
            "**Statement** 2\n",
            "**At** line 3, column 14\n",
            "**In the script** line 7, column 2\n",
            "2 transactions had been committed before",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        for said in ["division by zero", "A “detail”.", "Divide by something else."] {
            assert_eq!(text.contains(said), shown, "{said}: {text}");
        }
    }
}

#[test]
fn requesters_are_told_what_others_or_the_portal_did() {
    let rejected = to_requester(NotificationKind::Rejected, &request().rejected(), SlackResults::None);
    assert!(letters(&rejected).contains("**Reason**\n```\nPlease add a WHERE clause.\n```\n"));
    let expired = request().in_state(StateKind::Expired);
    assert!(
        letters(&to_requester(NotificationKind::Expired, &expired, SlackResults::None))
            .contains("Expired at")
    );
    let interrupted =
        to_requester(NotificationKind::Interrupted, &request().interrupted(), SlackResults::None);
    assert!(letters(&interrupted).starts_with("# Your request was interrupted\n"));
    let cancelled = to_requester(NotificationKind::Cancelled, &request().cancelled(), SlackResults::None);
    assert!(letters(&cancelled).contains("Cancelled at"));
    let by = testkit::builders::approver("grace");
    let event = Event::ResolveByPerson { by, committed: true, note: remark("I looked.") };
    let (resolved, _) = request().interrupted().apply(event, at(60)).unwrap();
    let domain::request::State::Completed { completion, .. } = &resolved.state else {
        panic!("{resolved:?}")
    };
    assert_eq!(completion.result, ResultKept::Lost);
    let text = letters(&to_requester(NotificationKind::Completed, &resolved, SlackResults::Preview));
    assert!(text.contains("its result was lost") && text.contains("`grace@example.com` looked"), "{text}");
}
