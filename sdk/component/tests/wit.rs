//! What components are made for is `wit/`, and what is none is told.
#![allow(clippy::unwrap_used)]

use howdah_component::{component, hooks};

/// Module sections: a memory, and functions of no arguments that are exported by name.
fn module(names: &[&str]) -> Vec<u8> {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(u8::try_from(text.len()).unwrap());
        out.extend(text.as_bytes());
    };
    let mut exports = vec![u8::try_from(names.len()).unwrap()];
    for name in names {
        text(&mut exports, name);
        exports.extend([0, 0]);
    }
    let mut out = b"\0asm\x01\0\0\0".to_vec();
    let body = [1, 4, 0, 0x41, 0, 0x0b];
    for (id, section) in [(1, &[1, 0x60, 0, 1, 0x7f][..]), (3, &[1, 0]), (7, &exports), (10, &body)]
    {
        out.push(id);
        out.push(u8::try_from(section.len()).unwrap());
        out.extend(section);
    }
    out
}

const TICK: &str = "howdah:policy/tick@0.1.0#tick";

#[test]
fn a_component_has_the_hooks_of_its_module() {
    let module = module(&[TICK, "something_else"]);
    assert_eq!(hooks(&module).unwrap().into_iter().collect::<Vec<_>>(), ["tick"]);
    let component = component(&module).unwrap();
    assert!(component.starts_with(b"\0asm\x0d\0"));
    assert_eq!(howdah_component::component(&component).unwrap(), component, "it is one already");
}

#[test]
fn marks_tell_which_hooks_count() {
    let module = module(&[TICK, "howdah:policy/route@0.1.0#route", "hook:tick"]);
    assert_eq!(hooks(&module).unwrap().into_iter().collect::<Vec<_>>(), ["tick"]);
    component(&module).unwrap();
}

#[test]
fn what_is_no_policy_is_told() {
    let told = |module: &[u8]| format!("{:#}", component(module).unwrap_err());
    assert!(told(&module(&["main"])).contains("none of the hooks"));
    assert!(told(&module(&["howdah:policy/rout@0.1.0#rout"])).contains("no hook \"rout\""));
    assert!(told(b"not wasm").contains("not a WebAssembly core module"));
    // The right name with the wrong type.
    assert!(told(&module(&["howdah:policy/route@0.1.0#route"])).contains("route"));
}
