//! Which module of a crate uses which, from its `use` lines and paths. Text only: macros and methods are not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module by its path below the crate: `admission::gate`, empty for the root.
pub type Module = Vec<String>;

/// The modules of a crate, and the arrows between them.
pub struct Crate {
    files: BTreeMap<Module, String>,
    /// What a module gives out under a name and takes from elsewhere.
    reexports: BTreeMap<(Module, String), Module>,
}

/// One name of a `use` line.
struct Import {
    path: Vec<String>,
    name: String,
    is_public: bool,
}

impl Crate {
    /// Reads everything below `src`.
    pub fn read(src: &Path) -> Self {
        let mut files = BTreeMap::new();
        for file in rust_files(src) {
            let mut module: Module = file
                .strip_prefix(src)
                .unwrap()
                .with_extension("")
                .iter()
                .map(|part| part.to_str().unwrap().to_owned())
                .collect();
            if matches!(module.last().map(String::as_str), Some("lib" | "main" | "mod")) {
                module.pop();
            }
            let text = std::fs::read_to_string(&file).unwrap();
            files.insert(module, without_tests_and_comments(&text));
        }
        let mut read = Crate {
            files,
            reexports: BTreeMap::new(),
        };
        let written: Vec<(Module, Import)> = read
            .files
            .iter()
            .flat_map(|(module, text)| imports(text).into_iter().map(|import| (module.clone(), import)))
            .filter(|(_, import)| import.is_public)
            .collect();
        // What is given out may have been taken from somebody who gives it out; such chains are short.
        for _ in 0..3 {
            for (module, import) in &written {
                if let Some(target) = read.resolve(module, &import.path) {
                    read.reexports
                        .insert((module.clone(), import.name.clone()), target);
                }
            }
        }
        read
    }

    /// From each module to those that it uses.
    pub fn arrows(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let mut arrows = BTreeMap::new();
        for (module, text) in &self.files {
            let imported = imports(text).into_iter().map(|import| import.path);
            let mut used: BTreeSet<Module> = imported
                .chain(paths(text))
                .filter_map(|path| self.resolve(module, &path))
                .collect();
            used.remove(module);
            arrows.insert(module.clone(), used);
        }
        arrows
    }

    /// Modules that use each other, directly or not.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let arrows = self.arrows();
        let reach: BTreeMap<&Module, BTreeSet<&Module>> = arrows
            .keys()
            .map(|from| (from, reachable(from, &arrows)))
            .collect();
        let mut circles: Vec<Vec<String>> = Vec::new();
        let mut seen = BTreeSet::new();
        for module in arrows.keys() {
            let circle: Vec<&Module> = reach[module]
                .iter()
                .filter(|other| reach.get(*other).is_some_and(|back| back.contains(module)))
                .copied()
                .collect();
            if !circle.is_empty() && circle.iter().all(|member| seen.insert(*member)) {
                circles.push(circle.into_iter().map(name).collect());
            }
        }
        circles
    }

    /// The module in which a path ends, as it is written in `from`; nothing if it leads out of the crate.
    fn resolve(&self, from: &Module, path: &[String]) -> Option<Module> {
        let (mut at, mut rest) = (from.clone(), path);
        let mut moved = false;
        while let Some((first, behind)) = rest.split_first() {
            match first.as_str() {
                "crate" if !moved => at = Vec::new(),
                "super" => _ = at.pop(),
                "self" => {}
                _ => break,
            }
            moved = true;
            rest = behind;
        }
        while let Some((first, behind)) = rest.split_first() {
            let child = [at.clone(), vec![first.clone()]].concat();
            if !self.files.contains_key(&child) {
                break;
            }
            (at, rest, moved) = (child, behind, true);
        }
        if !moved {
            return None;
        }
        match rest
            .first()
            .and_then(|name| self.reexports.get(&(at.clone(), name.clone())))
        {
            Some(target) => Some(target.clone()),
            None => Some(at),
        }
    }
}

/// As people write it.
pub fn name(module: &Module) -> String {
    if module.is_empty() {
        "the root".to_owned()
    } else {
        module.join("::")
    }
}

fn reachable<'a>(from: &Module, arrows: &'a BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<&Module> = arrows[from].iter().collect();
    while let Some(next) = waiting.pop() {
        if found.insert(next) {
            waiting.extend(&arrows[next]);
        }
    }
    found
}

/// All files of Rust below a folder.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn without_tests_and_comments(text: &str) -> String {
    text.lines()
        .take_while(|line| line.trim() != "mod tests {")
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The names that the `use` lines of a file take.
fn imports(text: &str) -> Vec<Import> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((is_public, behind)) = next_use(rest) {
        let end = behind.find(';').unwrap_or(behind.len());
        let tree: String = behind[..end].split_whitespace().collect::<Vec<_>>().join(" ");
        expand(&[], &tree, is_public, &mut found);
        rest = &behind[end..];
    }
    found
}

/// Whether the next `use` gives out, and what follows it.
fn next_use(text: &str) -> Option<(bool, &str)> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let visible = trimmed
            .strip_prefix("pub(")
            .and_then(|rest| rest.split_once(") "))
            .map(|(_, rest)| rest)
            .or_else(|| trimmed.strip_prefix("pub "));
        if let Some(behind) = visible.unwrap_or(trimmed).strip_prefix("use ") {
            let start = at + line.len() - behind.len();
            return Some((visible.is_some(), &text[start..]));
        }
        at += line.len();
    }
    None
}

fn expand(before: &[String], tree: &str, is_public: bool, into: &mut Vec<Import>) {
    let tree = tree.trim();
    if let Some(inner) = tree.strip_prefix('{').and_then(|tree| tree.strip_suffix('}')) {
        for part in split_list(inner) {
            expand(before, part, is_public, into);
        }
    } else if let Some((first, rest)) = tree.split_once("::").filter(|(first, _)| !first.contains('{')) {
        expand(&[before, &[first.to_owned()]].concat(), rest, is_public, into);
    } else if !tree.is_empty() {
        let (last, name) = tree.split_once(" as ").unwrap_or((tree, tree));
        let mut path = before.to_vec();
        if last != "self" || path.is_empty() {
            path.push(last.to_owned());
        }
        let name = if name == "self" {
            path.last().unwrap().clone()
        } else {
            name.to_owned()
        };
        into.push(Import {
            path,
            name,
            is_public,
        });
    }
}

/// At the commas that stand in no bracket.
fn split_list(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Paths that are written out: `crate::...`, `super::...`, and those that begin with a module of one's own.
fn paths(text: &str) -> Vec<Vec<String>> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("use ") && !line.trim_start().starts_with("pub"))
        .collect::<Vec<_>>()
        .join("\n");
    code.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != ':')
        .filter(|word| word.contains("::") && !word.starts_with(':'))
        .map(|word| {
            word.split("::")
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        })
        .collect()
}

#[test]
fn use_lines_are_understood() {
    let mut found = Vec::new();
    expand(&[], "super::a::{self, B as C, d::{e, F}}", false, &mut found);
    let paths: Vec<String> = found.iter().map(|import| import.path.join("::")).collect();
    assert_eq!(
        paths,
        ["super::a", "super::a::B", "super::a::d::e", "super::a::d::F"]
    );
    assert_eq!(found[1].name, "C");
}
