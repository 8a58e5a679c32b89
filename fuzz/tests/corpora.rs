//! Plays the inputs that were worth keeping.

use std::path::Path;

#[test]
fn every_target_with_every_input() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut kept: Vec<String> = std::fs::read_dir(&corpora)
        .unwrap()
        .map(|folder| folder.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort();
    let mut names: Vec<&str> = tenfour_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(kept, names, "each target has inputs");
    let mut failed = Vec::new();
    for (name, target) in tenfour_fuzz::TARGETS {
        let mut count = 0;
        for input in std::fs::read_dir(corpora.join(name)).unwrap() {
            let path = input.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            if std::panic::catch_unwind(|| target(&bytes)).is_err() {
                failed.push(path);
            }
            count += 1;
        }
        assert!(count > 3, "{name} has inputs");
        target(b"");
    }
    assert!(failed.is_empty(), "{failed:?}");
}
