//! What a machine can check of how the house is built. Each rule says what to do when it is broken.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Directory of every package of the workspace, by package name.
fn packages() -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let parents = ["crates", "protocols"].map(|parent| root().join(parent));
    let below = parents.iter().flat_map(|parent| {
        fs::read_dir(parent).expect("a directory").filter_map(|entry| Some(entry.ok()?.path()))
    });
    for directory in below.chain([root().join("simulators"), root().join("stories")]) {
        let manifest = directory.join("Cargo.toml");
        if manifest.exists() {
            let text = read(&manifest);
            let name = text.lines().find_map(|line| line.strip_prefix("name = ")).expect("a name");
            found.insert(name.trim_matches('"').to_owned(), directory);
        }
    }
    found
}

/// Our own packages that a manifest depends on, tests apart.
fn dependencies(manifest: &str, ours: &[String]) -> Vec<String> {
    let section = manifest.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split(['=', '.', ' ']).next());
    names.filter(|name| ours.iter().any(|own| own == name)).map(str::to_owned).collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for path in fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
        {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Without the tests at a file's end.
fn product_part(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

fn all_sources() -> Vec<PathBuf> {
    packages().values().flat_map(|directory| sources(&directory.join("src"))).collect()
}

#[test]
fn packages_depend_on_each_other_only_along_the_drawn_arrows() {
    let allowed: &[(&str, &[&str])] = &[
        ("tandem-domain", &[]),
        ("tandem-journal", &[]),
        ("tandem-http-api", &[]),
        ("diameter-protocol", &[]),
        ("sip-protocol", &[]),
        ("stir-protocol", &[]),
        ("tandem-http-client", &[]),
        ("tandem-books", &["tandem-domain"]),
        ("tandem-platform", &["tandem-domain", "tandem-journal", "tandem-books"]),
        (
            "tandem-http-access",
            &["tandem-domain", "tandem-platform", "tandem-books", "tandem-http-api"],
        ),
        (
            "tandem-content-interface",
            &[
                "tandem-domain",
                "tandem-platform",
                "tandem-books",
                "tandem-http-api",
                "tandem-http-access",
                "tandem-http-client",
            ],
        ),
        (
            "tandem-vno-interface",
            &[
                "tandem-domain",
                "tandem-platform",
                "tandem-books",
                "tandem-http-api",
                "tandem-http-access",
                // Digest of RFC 7616 only: a password is hashed where it arrives.
                "sip-protocol",
            ],
        ),
        (
            "tandem-carrier-interface",
            &[
                "tandem-domain",
                "tandem-platform",
                "tandem-http-client",
                "diameter-protocol",
                "sip-protocol",
                "stir-protocol",
            ],
        ),
        ("tandem-simulators", &["diameter-protocol", "sip-protocol"]),
        ("tandem-stories", &[]),
    ];
    let packages = packages();
    let ours: Vec<String> = packages.keys().cloned().collect();
    for (name, directory) in &packages {
        let Some((_, allowed)) = allowed.iter().find(|(package, _)| package == name) else {
            assert_eq!(name, "tandem", "{name}: draw its arrows in ARCHITECTURE.md and here");
            continue;
        };
        for dependency in dependencies(&read(&directory.join("Cargo.toml")), &ours) {
            let drawn = allowed.contains(&dependency.as_str());
            assert!(
                drawn,
                "{name} -> {dependency}: a new arrow is a design decision, drawn in ARCHITECTURE.md and here"
            );
        }
    }
}

#[test]
fn the_domain_and_the_protocols_have_no_clock_no_sockets_and_no_floats() {
    let packages = packages();
    let banned = [
        "SystemTime",
        "Instant::now",
        "std::fs",
        "TcpStream",
        "UdpSocket",
        "tokio",
        "tracing::",
        " f64",
        " f32",
        "<f64>",
        "rand::",
    ];
    for package in ["tandem-domain", "diameter-protocol"] {
        for path in sources(&packages[package].join("src")) {
            let text = read(&path);
            for word in banned {
                let found = product_part(&text)
                    .lines()
                    .any(|line| line.contains(word) && !line.trim_start().starts_with("//"));
                assert!(!found, "{}: `{word}` belongs into a shell around it", path.display());
            }
        }
    }
}

#[test]
fn only_the_books_know_sql() {
    let books = packages()["tandem-books"].clone();
    for path in all_sources().into_iter().filter(|path| !path.starts_with(&books)) {
        let text = read(&path);
        for word in ["rusqlite", "SELECT ", "INSERT INTO"] {
            assert!(
                !text.contains(word),
                "{}: ask the books instead of using `{word}`",
                path.display()
            );
        }
    }
}

#[test]
fn modules_are_nouns_of_the_field() {
    for path in all_sources() {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let banned = ["utils", "util", "helpers", "common", "misc", "manager", "base"];
        assert!(!banned.contains(&name), "{}: find the noun", path.display());
    }
}

#[test]
fn files_tell_one_story_of_at_most_five_hundred_lines() {
    for path in all_sources() {
        let text = read(&path);
        let lines = product_part(&text).lines().count();
        assert!(lines <= 500, "{}: {lines} lines; find the seam", path.display());
    }
}

#[test]
fn every_module_says_what_it_is() {
    for path in all_sources() {
        assert!(
            read(&path).starts_with("//!"),
            "{}: open with what it is, in the field's words",
            path.display()
        );
    }
}

#[test]
fn nothing_is_left_undone() {
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore")];
    let tests = packages()
        .values()
        .flat_map(|directory| sources(&directory.join("tests")))
        .collect::<Vec<_>>();
    for path in all_sources().into_iter().chain(tests) {
        let text = read(&path);
        for mark in marks {
            assert!(!text.contains(mark), "{}: finish `{mark}` or take it out", path.display());
        }
    }
}

#[test]
fn the_package_budget_is_kept() {
    let lock = read(&root().join("Cargo.lock"));
    let count = lock.matches("[[package]]").count();
    assert!(count <= 270, "{count} packages: weigh the last dependency again");
}

#[test]
fn the_documents_name_what_exists() {
    let architecture = read(&root().join("ARCHITECTURE.md"));
    for name in packages().keys() {
        assert!(architecture.contains(name.as_str()), "ARCHITECTURE.md does not name {name}");
    }
    let paths = architecture
        .split('`')
        .filter(|word| word.starts_with("crates/") || word.starts_with("protocols/"));
    for path in paths {
        assert!(root().join(path).exists(), "ARCHITECTURE.md names {path}, which is not there");
    }
    let readme = read(&root().join("README.md"));
    for command in ["cargo run --release -- demo", "cargo test --workspace"] {
        assert!(readme.contains(command), "README.md does not show: {command}");
    }
    for link in readme
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.contains("://"))
    {
        assert!(root().join(link).exists(), "README.md links {link}, which is not there");
    }
}
