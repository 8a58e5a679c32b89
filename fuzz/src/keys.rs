//! Files that say who is who: whatever is in them, a change leaves the lines of others as they are.

use std::cell::OnceCell;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tenfour::Address;
use tenfour::identity::{
    AuthorizedKey, AuthorizedKeys, Identity, Invitations, KeyList, KnownHosts, Rights, Token, Trust,
};
use tenfour::proto::Fingerprint;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// Each of the files with that content.
pub fn keys(input: &[u8]) {
    FOLDER.with(|folder| {
        let folder = folder
            .get_or_init(|| tempfile::tempdir().expect("a folder"))
            .path();
        known_hosts(&folder.join("known_hosts"), input);
        authorized_keys(&folder.join("authorized_keys"), input);
        tokens(&folder.join("tokens"), input);
        invitations(folder, input);
        let identity = folder.join("identity.pem");
        write(&identity, input);
        if Identity::load(&identity).is_ok() {
            assert_eq!(read(&identity), input);
        }
    });
    if let Ok(text) = std::str::from_utf8(input) {
        if let Ok(rights) = text.parse::<Rights>() {
            assert_eq!(
                rights.to_string().parse::<Rights>().ok(),
                Some(rights),
                "{text:?}"
            );
        }
        if let Ok(fingerprint) = text.parse::<Fingerprint>() {
            assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        }
    }
}

const STRANGER: [u8; 32] = [0x5a; 32];

fn write(path: &Path, content: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, content).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("private");
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("read")
}

/// The lines of before are still there, in their order and whatever their ends, and `more` lines stand behind them.
fn keeps(before: &[u8], after: &[u8], more: usize) {
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let lines = |text: &'_ str| -> Vec<String> {
        text.lines()
            .map(|line| line.trim_end_matches('\r').to_owned())
            .collect()
    };
    let (old, new) = (lines(&before), lines(&after));
    assert_eq!(new.len(), old.len() + more, "{before:?} became {after:?}");
    assert_eq!(new[..old.len()], old[..]);
}

fn known_hosts(path: &Path, content: &[u8]) {
    write(path, content);
    let Ok(mut known) = KnownHosts::load(path) else {
        assert!(std::str::from_utf8(content).is_err());
        return;
    };
    let address = Address::parse("stranger.example", 50545).expect("an address");
    if known.pin(&address).is_some()
        || known
            .iter()
            .any(|(host, _)| host.eq_ignore_ascii_case("stranger.example"))
    {
        return;
    }
    let pin = Fingerprint::from_bytes(STRANGER);
    known.trust("stranger.example", pin).expect("trusted");
    assert_eq!(known.judge(&address, pin), Trust::Known);
    assert_eq!(
        KnownHosts::load(path).expect("read again").pin(&address),
        Some(pin)
    );
    keeps(content, &read(path), 1);
    assert!(known.remove("stranger.example").expect("removed"));
    assert_eq!(known.judge(&address, pin), Trust::Unknown);
    keeps(content, &read(path), 0);
}

fn authorized_keys(path: &Path, content: &[u8]) {
    write(path, content);
    let list = &KeyList::from(path);
    let Ok(before) = AuthorizedKeys::load(list) else {
        assert!(std::str::from_utf8(content).is_err());
        return;
    };
    let fingerprint = Fingerprint::from_bytes(STRANGER);
    if before.find(fingerprint).is_some() {
        return;
    }
    let key = AuthorizedKey {
        fingerprint,
        rights: "send=inbox".parse().expect("rights"),
        comment: "of the test".to_owned(),
    };
    AuthorizedKeys::allow(list, key.clone()).expect("allowed");
    let after = AuthorizedKeys::load(list).expect("read again");
    assert_eq!(after.find(fingerprint), Some(&key));
    // A line more lets nobody else in, and takes no mistake away.
    assert_eq!(after.iter().count(), before.iter().count() + 1);
    assert_eq!(after.mistakes, before.mistakes);
    keeps(content, &read(path), 1);
    assert!(AuthorizedKeys::remove(list, fingerprint).expect("removed"));
    keeps(content, &read(path), 0);
}

fn tokens(path: &Path, content: &[u8]) {
    write(path, content);
    let (list, name) = (&KeyList::from(path), "of-the-test".parse().expect("a name"));
    if let Ok(Some(_)) = Token::create(list, &name, Rights::default()) {
        keeps(content, &read(path), 1);
        assert!(Token::remove(list, &name).expect("removed"));
        keeps(content, &read(path), 0);
    }
}

fn invitations(folder: &Path, content: &[u8]) {
    let (path, keys) = (folder.join("invitations"), folder.join("invited"));
    write(&path, content);
    let _ = std::fs::remove_file(&keys);
    let invitations = Invitations::new(path.as_path(), keys.as_path());
    let key = Fingerprint::from_bytes(STRANGER);
    // Nobody knows the secret to a hash.
    assert!(invitations.accept(&[7; 32], key, "here").is_err());
    assert!(!keys.exists());
    if let Ok(secret) = invitations.invite(Rights::default(), Duration::from_secs(60)) {
        assert!(invitations.accept(&secret, key, "here").is_ok());
        assert!(
            invitations
                .accept(&secret, Fingerprint::from_bytes([1; 32]), "there")
                .is_err()
        );
    }
}
