//! What the documents say of the code is so.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// All tests below a folder, by file.
fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn the_tests_that_stand_for_the_promises_exist() {
    let mut code = String::new();
    sources(&root().join("crates"), &mut code);
    let promises = read("docs/promises.md");
    let mut names = 0;
    for line in promises.lines().filter(|line| line.starts_with("- ")) {
        for name in line.split('`').skip(1).step_by(2) {
            names += 1;
            assert!(code.contains(&format!("fn {name}(")), "there is no test {name}");
        }
        for file in line
            .split([' ', ':', ';', ','])
            .filter(|word| word.ends_with(".rs"))
        {
            assert!(root().join("crates").join(file).is_file(), "there is no {file}");
        }
    }
    assert!(names > 15, "the names are found");
}

#[test]
fn the_promises_are_the_same_words_everywhere() {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let without_links = |text: String| {
        let mut words = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("](") {
            words.push_str(before);
            rest = after.split_once(')').map_or("", |(_, rest)| rest);
        }
        words + rest
    };
    let promises = without_links(plain(&read("docs/promises.md")));
    let readme = read("README.md");
    let (_, section) = readme.split_once("## Promises").unwrap();
    let mut found = 0;
    for promise in section
        .split("\n- ")
        .skip(1)
        .filter(|text| text.starts_with("**P"))
    {
        let promise = promise.split("\n\n").next().unwrap();
        found += 1;
        assert!(promises.contains(&without_links(plain(promise))), "{promise}");
    }
    assert_eq!(found, 9);
}
