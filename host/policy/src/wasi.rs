//! Inert stand-ins for `wasi:*`. Ordinary guests import some dozen of its interfaces through their standard
//! library, whether they use them or not. None gives any authority: no files, no network, no environment, no
//! arguments, no real clock. Random numbers come from a generator that is seeded the same way in every
//! instance, so that hash maps work and a policy answers the same question the same way. Everything else traps.

use wasmtime::Result;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Engine, StoreContextMut};

use crate::host::State;

/// Defines every `wasi:*` import of the component.
pub(crate) fn add_to_linker(
    engine: &Engine,
    component: &Component,
    linker: &mut Linker<State>,
) -> Result<()> {
    let kind = component.component_type();
    for (name, item) in kind.imports(engine) {
        let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
        let Some(short) = name.strip_prefix("wasi:").and_then(|n| n.split('@').next()) else {
            continue;
        };
        for (function, item) in interface.exports(engine) {
            if let (ComponentItem::ComponentFunc(_), Some(answer)) =
                (item.ty, known(short, function))
            {
                linker
                    .instance(name)?
                    .func_new(function, move |store, _, parameters, results| {
                        answer(store, parameters, results)
                    })?;
            }
        }
    }
    linker.define_unknown_imports_as_traps(component)
}

type Stub = fn(StoreContextMut<'_, State>, &[Val], &mut [Val]) -> Result<()>;

/// What must not trap: what standard libraries call without being asked to.
fn known(interface: &str, function: &str) -> Option<Stub> {
    Some(match (interface, function) {
        ("random/random", "get-random-bytes")
        | ("random/insecure", "get-insecure-random-bytes") => random_bytes,
        ("random/random", "get-random-u64") | ("random/insecure", "get-insecure-random-u64") => {
            random_u64
        }
        ("random/insecure-seed", "insecure-seed") => seed,
        ("cli/environment", "get-environment" | "get-arguments") => empty_list,
        ("clocks/monotonic-clock", "now" | "resolution") => zero,
        _ => return None,
    })
}

/// Longest run of random bytes that a guest gets at once.
const MAX_RANDOM: u64 = 4096;

fn put(results: &mut [Val], value: Val) -> Result<()> {
    match results.first_mut() {
        Some(place) => *place = value,
        None => wasmtime::bail!("a wasi function of an unknown form"),
    }
    Ok(())
}

fn random_bytes(
    mut store: StoreContextMut<'_, State>,
    given: &[Val],
    results: &mut [Val],
) -> Result<()> {
    let Some(Val::U64(len)) = given.first() else {
        wasmtime::bail!("get-random-bytes without a length")
    };
    if *len > MAX_RANDOM {
        wasmtime::bail!("get-random-bytes gives at most {MAX_RANDOM} bytes");
    }
    let bytes = (0..*len).map(|_| Val::U8(store.data_mut().random() as u8)).collect();
    put(results, Val::List(bytes))
}

fn random_u64(mut store: StoreContextMut<'_, State>, _: &[Val], results: &mut [Val]) -> Result<()> {
    put(results, Val::U64(store.data_mut().random()))
}

fn seed(mut store: StoreContextMut<'_, State>, _: &[Val], results: &mut [Val]) -> Result<()> {
    let state = store.data_mut();
    let pair = vec![Val::U64(state.random()), Val::U64(state.random())];
    put(results, Val::Tuple(pair))
}

fn empty_list(_: StoreContextMut<'_, State>, _: &[Val], results: &mut [Val]) -> Result<()> {
    put(results, Val::List(Vec::new()))
}

fn zero(_: StoreContextMut<'_, State>, _: &[Val], results: &mut [Val]) -> Result<()> {
    put(results, Val::U64(0))
}
