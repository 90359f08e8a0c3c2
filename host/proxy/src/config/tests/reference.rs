use crate::config::reference;
use crate::config::reference::EXAMPLE;

#[test]
fn the_document_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
    let document = std::fs::read_to_string(path).unwrap();
    assert!(
        document == reference(),
        "docs/config.md is out of date: howdah config-reference > docs/config.md"
    );
}

#[test]
fn the_example_is_sound() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["monitor", "app", "app_rw", "report"] {
        std::fs::write(directory.path().join(format!("{name}.password")), name).unwrap();
    }
    let config = super::parse_in(EXAMPLE, directory.path()).unwrap();
    assert_eq!(config.users.len(), 2);
    assert_eq!(config.users["app"].server_password.as_ref().unwrap().reveal(), "app_rw");
    assert_eq!(config.clusters[0].monitor.user, "howdah");
}
