//! The C bindings of `sdk/c/generated` are what wit-bindgen makes of `wit/`.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

/// Set to write the files anew.
const REGENERATE: &str = "REGENERATE";

#[test]
fn the_c_bindings_are_those_of_wit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root.join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("policy")).unwrap();
    let options = wit_bindgen_c::Opts { no_object_file: true, ..Default::default() };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).unwrap();
    for (name, text) in files.iter() {
        let path = root.join("sdk/c/generated").join(name);
        if std::env::var_os(REGENERATE).is_some() {
            std::fs::write(&path, text).unwrap();
        }
        assert!(
            std::fs::read(&path).unwrap() == text,
            "sdk/c/generated is out of date: {REGENERATE}=1 cargo test -p howdah-component"
        );
    }
}
