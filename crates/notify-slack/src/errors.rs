//! What Slack answers when it does not do what it was asked for, and what follows from that.
//!
//! Errors here hold the method and Slack's code, never what was sent or what came back: both may hold what people wrote.

use std::time::Duration;

use slack_morphism::errors::SlackClientError;

/// What follows from a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// The same call will be refused for ever.
    Final,
    /// Refused until somebody changes something in Slack or in the portal's settings; what they have to do.
    Wait(&'static str),
    /// It may pass by itself.
    Retry,
}

/// Why a call to Slack did not do what it was for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CallError {
    #[error("Slack refused {method} with {code}{}", advice(code))]
    Refused { method: &'static str, code: String },
    #[error("Slack asks for a pause of {} s before the next {method}", after.as_secs())]
    TooMany { method: &'static str, after: Duration },
    #[error("Slack answered {method} with the status {status}")]
    Status { method: &'static str, status: u16 },
    #[error("Slack did not answer {method} in time")]
    TimedOut { method: &'static str },
    #[error("the connection to Slack for {method} failed")]
    Disconnected { method: &'static str },
    #[error("what Slack answered to {method} cannot be read")]
    Unreadable { method: &'static str },
}

/// Where Slack asks for a pause without saying for how long.
const USUAL_PAUSE: Duration = Duration::from_secs(30);
/// Whatever it says, after this long it is asked again.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

impl CallError {
    pub(crate) fn of(method: &'static str, error: &SlackClientError) -> Self {
        match error {
            SlackClientError::ApiError(error) => Self::Refused { method, code: checked_code(&error.code) },
            SlackClientError::RateLimitError(error) => {
                let after = error.retry_after.unwrap_or(USUAL_PAUSE);
                Self::TooMany { method, after: after.clamp(Duration::from_secs(1), LONGEST_PAUSE) }
            }
            SlackClientError::HttpError(error) => Self::Status { method, status: error.status_code.as_u16() },
            SlackClientError::ProtocolError(_) | SlackClientError::SocketModeProtocolError(_) => {
                Self::Unreadable { method }
            }
            SlackClientError::HttpProtocolError(_)
            | SlackClientError::EndOfStream(_)
            | SlackClientError::SystemError(_) => Self::Disconnected { method },
        }
    }

    /// Slack's code, where it gave one.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            Self::TooMany { .. }
            | Self::Status { .. }
            | Self::TimedOut { .. }
            | Self::Disconnected { .. }
            | Self::Unreadable { .. } => None,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.code().map_or(Verdict::Retry, verdict)
    }

    /// Whether it is certain that Slack did nothing.
    pub(crate) fn nothing_happened(&self) -> bool {
        match self {
            Self::Refused { code, .. } => {
                !MAY_HAVE_HAPPENED.contains(&code.as_str()) && known(code).is_some()
            }
            Self::TooMany { .. } => true,
            // Refused by Slack's door or by something on the way, as in 403 and 413.
            Self::Status { status, .. } => (400..500).contains(status),
            Self::TimedOut { .. } | Self::Disconnected { .. } | Self::Unreadable { .. } => false,
        }
    }
}

/// A code is a word: anything else is not repeated.
fn checked_code(code: &str) -> String {
    let is_word = (1..=64).contains(&code.len())
        && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if is_word { code.to_owned() } else { "an unreadable code".to_owned() }
}

fn advice(code: &str) -> String {
    match verdict(code) {
        Verdict::Wait(advice) => format!(": {advice}"),
        Verdict::Final | Verdict::Retry => String::new(),
    }
}

/// An unknown code may be a new sort of hiccup; a notification is given up after a day in any case.
pub(crate) fn verdict(code: &str) -> Verdict {
    known(code).unwrap_or(Verdict::Retry)
}

fn known(code: &str) -> Option<Verdict> {
    let (_, verdict) = CODES.iter().find(|(codes, _)| codes.contains(&code))?;
    Some(*verdict)
}

/// Slack says of these that some aspect of the operation may have succeeded, or does not say that nothing has.
const MAY_HAVE_HAPPENED: &[&str] = &["fatal_error", "internal_error", "service_unavailable"];

const TOKEN: Verdict = Verdict::Wait("give the portal a valid bot token of the app");
const SCOPE: Verdict =
    Verdict::Wait("give the app the scopes that the documentation lists, and install it again");
const WORKSPACE: Verdict = Verdict::Wait("an owner of the workspace has to let the app do this");
const CHANNEL: Verdict =
    Verdict::Wait("invite the app to the channel, or correct the channel in the POD or in the settings");

/// The codes that Slack documents for `auth.test`, `chat.postMessage`, `chat.update`, `chat.postEphemeral`,
/// `conversations.open`, `conversations.history`, `users.lookupByEmail`, `users.info` and `views.open`.
const CODES: &[(&[&str], Verdict)] = &[
    (
        &[
            "access_denied",
            "account_inactive",
            "invalid_auth",
            "not_authed",
            "not_allowed_token_type",
            "token_expired",
            "token_revoked",
        ],
        TOKEN,
    ),
    (&["missing_scope", "no_permission", "as_user_not_supported", "cannot_auth_user"], SCOPE),
    (
        &[
            "accesslimited",
            "ekm_access_denied",
            "enterprise_is_restricted",
            "message_limit_exceeded",
            "messages_tab_disabled",
            "org_login_required",
            "restricted_action",
            "team_access_not_granted",
            "team_added_to_org",
            "team_not_found",
            "two_factor_setup_required",
            "external_channel_migrating",
            "slack_connect_canvas_sharing_blocked",
            "slack_connect_file_link_sharing_blocked",
            "slack_connect_lists_sharing_blocked",
        ],
        WORKSPACE,
    ),
    (
        &[
            "channel_not_found",
            "is_archived",
            "is_inactive",
            "not_in_channel",
            "channel_type_not_supported",
            "method_not_supported_for_channel_type",
            "restricted_action_non_threadable_channel",
            "restricted_action_read_only_channel",
            "restricted_action_thread_locked",
            "restricted_action_thread_only_channel",
        ],
        CHANNEL,
    ),
    (
        &[
            "fatal_error",
            "internal_error",
            "rate_limited",
            "ratelimited",
            "request_timeout",
            "service_unavailable",
        ],
        Verdict::Retry,
    ),
    // About the person or the message: neither becomes another one by waiting.
    (
        &[
            "cannot_dm_bot",
            "invalid_user_combination",
            "not_enough_users",
            "too_many_users",
            "user_disabled",
            "user_not_found",
            "user_not_in_channel",
            "user_not_visible",
            "users_list_not_supplied",
            "users_not_found",
            "block_mismatch",
            "cant_broadcast_message",
            "cant_update_message",
            "duplicate_channel_not_found",
            "duplicate_message_not_found",
            "edit_window_closed",
            "message_not_found",
            "expired_trigger_id",
            "exchanged_trigger_id",
            "invalid_trigger",
            "invalid_trigger_id",
            "trigger_expired",
            "trigger_exchanged",
            "duplicate_external_id",
            "hash_conflict",
            "view_too_large",
            "not_found",
        ],
        Verdict::Final,
    ),
    // About how the call is made: a defect of the portal, or a message that Slack cannot take.
    (
        &[
            "attachment_payload_limit_exceeded",
            "cannot_reply_to_message",
            "deprecated_endpoint",
            "invalid_arg_name",
            "invalid_arguments",
            "invalid_array_arg",
            "invalid_attachments",
            "invalid_blocks",
            "invalid_blocks_format",
            "invalid_charset",
            "invalid_cursor",
            "invalid_form_data",
            "invalid_limit",
            "invalid_metadata_format",
            "invalid_metadata_keys",
            "invalid_metadata_schema",
            "invalid_post_type",
            "invalid_scheduled_at",
            "invalid_thread_ts",
            "invalid_ts_latest",
            "invalid_ts_oldest",
            "markdown_text_conflict",
            "metadata_must_be_sent_from_app",
            "metadata_too_large",
            "method_deprecated",
            "missing_argument",
            "missing_file_data",
            "missing_post_type",
            "msg_blocks_too_long",
            "msg_too_long",
            "no_dual_broadcast_content_update",
            "no_text",
            "too_many_attachments",
            "too_many_contact_cards",
            "unknown_method",
            "update_failed_not_found",
        ],
        Verdict::Final,
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn refused(code: &str) -> CallError {
        CallError::Refused { method: "chat.postMessage", code: code.to_owned() }
    }

    #[test]
    fn each_code_has_one_verdict() {
        let mut seen = HashSet::new();
        for code in CODES.iter().flat_map(|(codes, _)| *codes) {
            assert!(seen.insert(code), "{code} is there twice");
            assert_eq!(checked_code(code), **code);
        }
    }

    #[test]
    fn what_an_operator_can_mend_is_tried_again_and_says_what_to_do() {
        for code in [
            "invalid_auth",
            "token_revoked",
            "token_expired",
            "account_inactive",
            "missing_scope",
            "not_in_channel",
            "channel_not_found",
            "is_archived",
            "is_inactive",
            "restricted_action",
            "ekm_access_denied",
        ] {
            assert!(matches!(verdict(code), Verdict::Wait(_)), "{code}");
        }
        let text = refused("not_in_channel").to_string();
        assert_eq!(
            text,
            "Slack refused chat.postMessage with not_in_channel: invite the app to the channel, or correct the channel \
             in the POD or in the settings"
        );
    }

    #[test]
    fn hiccups_and_unknown_codes_are_tried_again() {
        for code in [
            "internal_error",
            "fatal_error",
            "service_unavailable",
            "request_timeout",
            "ratelimited",
            "new_one",
        ] {
            assert_eq!(verdict(code), Verdict::Retry, "{code}");
        }
    }

    #[test]
    fn what_can_never_succeed_is_given_up() {
        for code in
            ["invalid_blocks", "msg_too_long", "user_disabled", "user_not_found", "cannot_dm_bot", "no_text"]
        {
            assert_eq!(verdict(code), Verdict::Final, "{code}");
        }
    }

    #[test]
    fn only_a_clear_refusal_says_that_nothing_happened() {
        let method = "chat.postMessage";
        assert!(refused("not_in_channel").nothing_happened());
        assert!(CallError::TooMany { method, after: USUAL_PAUSE }.nothing_happened());
        assert!(CallError::Status { method, status: 413 }.nothing_happened());
        for code in ["internal_error", "fatal_error", "service_unavailable", "new_one"] {
            assert!(!refused(code).nothing_happened(), "{code}");
        }
        for error in [
            CallError::Status { method, status: 500 },
            CallError::TimedOut { method },
            CallError::Disconnected { method },
            CallError::Unreadable { method },
        ] {
            assert!(!error.nothing_happened(), "{error}");
        }
    }

    #[test]
    fn a_code_that_is_no_word_is_not_repeated() {
        for text in ["", "near \"SELECT\"", "Bearer xoxb-1", &"x".repeat(65)] {
            assert_eq!(checked_code(text), "an unreadable code");
        }
    }
}
