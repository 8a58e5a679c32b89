//! Links the unwinder of a GNU system into the program. As a shared library it is looked for, mapped and linked at
//! each start, which takes 0.13 ms: a twentieth of a whole `tenfour send`.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |variable, value| std::env::var(variable).is_ok_and(|found| found == value);
    let gnu_linux = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    let native = std::env::var("HOST").ok() == std::env::var("TARGET").ok();
    // Where the archive lacks, the shared library serves as ever.
    if gnu_linux
        && native
        && let Some(archive) = find("libgcc_eh.a")
        && let Some(folder) = archive.parent()
    {
        println!("cargo::rustc-link-search=native={}", folder.display());
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Where the C compiler, which links the program, has an archive. It answers with the bare name if it has none.
fn find(archive: &str) -> Option<PathBuf> {
    let answer = Command::new("cc")
        .arg(format!("-print-file-name={archive}"))
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(answer.stdout).ok()?.trim());
    (path.is_absolute() && path.exists()).then_some(path)
}
