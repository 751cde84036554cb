//! What would change who can log in, or what later requests mean: passwords, and settings that the server
//! keeps for a role or a database.
//!
//! It looks at words alone, and in doubt it refuses: a name that is also one of these keywords can be quoted.

use super::lex::{Lexer, TokenKind};
use super::refuse::Reason;
use super::words::{Word, words};

/// The reason against a statement that begins with these words, if there is one.
pub(crate) fn reason(leading: &[Word], text: &str) -> Option<Reason> {
    let is = |at: usize, keyword: &str| leading.get(at).is_some_and(|word| word.is(keyword));
    let (create, alter) = (is(0, "create"), is(0, "alter"));
    if !create && !alter {
        return None;
    }
    let mapping = is(1, "user") && is(2, "mapping") && (is(3, "for") || is(3, "if"));
    if mapping || is(1, "server") || is(1, "foreign") && is(2, "data") {
        return holds_password_option(text).then(|| {
            (
                "stored_password",
                "A password in the options of a server or user mapping is not allowed: the text of a request \
                 is kept and read by others."
                    .to_owned(),
            )
        });
    }
    let account = is(1, "role") || is(1, "user") || is(1, "group");
    if account && words(text).skip(2).any(|(_, word)| word.is("password")) {
        return Some((
            "role_password",
            "Setting a role's password is not allowed: whoever knows it could log in without any approval."
                .to_owned(),
        ));
    }
    if alter && (account || is(1, "database")) && keeps_setting(text) {
        return Some((
            "stored_setting",
            "Changing the settings that the server keeps for a role or a database is not allowed: they would \
             change what later requests do. Use SET in the request itself."
                .to_owned(),
        ));
    }
    None
}

/// Whether words after the kind of object set or reset anything but the tablespace.
fn keeps_setting(text: &str) -> bool {
    let mut after = words(text).skip(2).map(|(_, word)| word).peekable();
    while let Some(word) = after.next() {
        if word.is("reset") {
            return true;
        }
        if word.is("set") {
            let moves = after.next_if(|next| next.is("tablespace")).is_some();
            // A setting could have that name, too.
            let named = !matches!(after.peek(), None | Some(Word::Symbol(_)))
                && !after.peek().is_some_and(|next| next.is("to") || next.is("from"));
            if !(moves && named) {
                return true;
            }
        }
    }
    false
}

/// Names of options may be quoted, and a name in escapes may be any.
fn holds_password_option(text: &str) -> bool {
    Lexer::new(text).any(|token| token.kind == TokenKind::UnicodeWord)
        || words(text).any(|(_, word)| match word {
            Word::Plain(name) | Word::Quoted(name) => name.contains("passw"),
            Word::Symbol(_) | Word::Opaque => false,
        })
}

#[cfg(test)]
mod tests {
    use super::super::words::leading;
    use super::*;

    fn code(text: &str) -> Option<&'static str> {
        reason(&leading(text), text).map(|(code, _)| code)
    }

    #[test]
    fn no_request_sets_the_password_of_a_role() {
        for text in [
            "alter role r password 'x'",
            "ALTER USER current_user WITH PassWord 'x'",
            "alter role session_user with encrypted password 'x'",
            "alter/**/role/**/\"r\" -- c\n password/**/'x'",
            "alter role U&\"d!0061ta\" uescape '!' login nocreatedb nocreaterole connection limit 5 valid until \
             'infinity' password 'x'",
            "alter role r password null",
            "create role r login unencrypted password 'x'",
            "create user r password E'x'",
            "create group r with password $$x$$",
            "create user mapping password 'x'",
        ] {
            assert_eq!(code(text), Some("role_password"), "{text}");
        }
    }

    #[test]
    fn no_request_changes_what_later_ones_mean() {
        for text in [
            "alter role r set search_path = evil, public",
            "ALTER ROLE ALL SET role = 'x'",
            "alter user r in database d set work_mem to default",
            "alter role r in database \"set\" reset all",
            "alter user mapping set work_mem = '1GB'",
            "alter user r /* x */ reset work_mem",
            "alter database d set default_transaction_read_only = off",
            "alter database d set tablespace = 'x'",
            "alter database d set tablespace to 'x'",
            "alter database d set tablespace.x = 'x'",
            "alter database d set work_mem from current",
            "alter database \"d\" reset work_mem",
        ] {
            assert_eq!(code(text), Some("stored_setting"), "{text}");
        }
    }

    #[test]
    fn options_hold_no_password() {
        for text in [
            "create user mapping for u server s options (user 'x', password 'y')",
            "create user mapping if not exists for u server s options (\"password\" 'y')",
            "alter user mapping for u server s options (set Password 'y')",
            "alter user mapping for u server s options (set U&\"p\\0061ssword\" 'y')",
            "create server s foreign data wrapper w options (passwd 'y')",
            "alter server s options (add password 'y')",
            "alter foreign data wrapper w options (add password 'y')",
        ] {
            assert_eq!(code(text), Some("stored_password"), "{text}");
        }
    }

    #[test]
    fn other_accounts_and_objects_are_free() {
        for text in [
            "create role r login",
            "create role \"password\"",
            "alter role \"set\" rename to r",
            "alter group g add user u",
            "alter database d set tablespace s",
            "alter database d set tablespace \"S\"",
            "alter database d rename to e",
            "create user mapping for u server s options (user 'password')",
            "alter user mapping for u server s options (set user 'x')",
            "create server s foreign data wrapper w options (host 'x')",
            "create table t (password text)",
            "alter table t alter password set not null",
            "create foreign table t (password text) server s",
        ] {
            assert_eq!(code(text), None, "{text}");
        }
    }
}
