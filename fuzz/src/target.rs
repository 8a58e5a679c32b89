//! What people type for a target.

use tenfour::MailboxName;

#[path = "../../crates/tenfour-cli/src/target.rs"]
#[allow(dead_code, reason = "the command uses the rest")]
mod grammar;

use grammar::Target;

/// A target that is understood is understood the same way when it is shown and typed again.
pub fn target(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(target) = text.parse::<Target>() else {
        return;
    };
    let shown = target.to_string();
    let again: Target = shown
        .parse()
        .unwrap_or_else(|error| panic!("`{shown}` of `{text}`: {error}"));
    assert_eq!(again.dialect, target.dialect);
    assert_eq!(again.address, target.address, "`{shown}` of `{text}`");
    if let Ok(mailbox) = target.mailbox_or(&MailboxName::inbox()) {
        assert_eq!(again.mailbox_or(&MailboxName::inbox()), Ok(mailbox));
    }
}
