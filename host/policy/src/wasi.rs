//! Inert stand-ins for `wasi:*`. Ordinary guests import some dozen of its interfaces through their standard
//! library, whether they use them or not. None gives any authority: no files, no network, no environment, no
//! arguments, no real clock. What is written to standard output or error goes to the log, and tells why a guest
//! panicked. Random numbers come from a generator that is seeded the same way in every
//! instance, so that hash maps work and a policy answers the same question the same way. Everything else traps.

use wasmtime::Result;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, Resource, ResourceAny, ResourceType, Val};
use wasmtime::{AsContextMut, Engine, StoreContextMut};

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
        for (export, item) in interface.exports(engine) {
            match item.ty {
                // Every interface that uses a resource names it again.
                ComponentItem::Resource(_) => {
                    let resource = match export {
                        "output-stream" => ResourceType::host::<OutputStream>(),
                        "pollable" => ResourceType::host::<Pollable>(),
                        _ => ResourceType::host::<Absent>(),
                    };
                    linker.instance(name)?.resource(export, resource, |_, _| Ok(()))?;
                }
                ComponentItem::ComponentFunc(_) => {
                    let mut instance = linker.instance(name)?;
                    let Some(answer) = known(short, export) else {
                        let message =
                            format!("it called {name}#{export}, which policies do not have");
                        instance
                            .func_new(export, move |_, _, _, _| wasmtime::bail!("{message}"))?;
                        continue;
                    };
                    instance.func_new(export, move |mut store, _, given, results| {
                        answer(store.as_context_mut(), given, results)?;
                        given.iter().try_for_each(|value| give_back(&mut store, value))
                    })?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Standard output and error: `wasi:io/streams/output-stream`.
struct OutputStream;

/// `wasi:io/poll/pollable` of an output stream, which always takes more.
struct Pollable;

/// All other resources. There is none of them.
struct Absent;

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
        ("cli/stdout", "get-stdout") | ("cli/stderr", "get-stderr") => output,
        ("io/streams", "[method]output-stream.check-write") => room,
        (
            "io/streams",
            "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush",
        ) => write,
        ("io/streams", "[method]output-stream.flush" | "[method]output-stream.blocking-flush") => {
            flush
        }
        ("io/streams", "[method]output-stream.subscribe") => subscribe,
        ("io/poll", "[method]pollable.block") => nothing,
        ("io/poll", "poll") => all_ready,
        _ => return None,
    })
}

/// Borrowed resources must be given back by hand.
fn give_back(store: &mut StoreContextMut<'_, State>, value: &Val) -> Result<()> {
    match value {
        Val::Resource(resource) => resource.resource_drop(store),
        Val::List(values) => values.iter().try_for_each(|value| give_back(store, value)),
        _ => Ok(()),
    }
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
    let bytes = (0..*len).map(|_| Val::U8(store.data_mut().inert_random() as u8)).collect();
    put(results, Val::List(bytes))
}

fn random_u64(mut store: StoreContextMut<'_, State>, _: &[Val], results: &mut [Val]) -> Result<()> {
    put(results, Val::U64(store.data_mut().inert_random()))
}

fn seed(mut store: StoreContextMut<'_, State>, _: &[Val], results: &mut [Val]) -> Result<()> {
    let state = store.data_mut();
    let pair = vec![Val::U64(state.inert_random()), Val::U64(state.inert_random())];
    put(results, Val::Tuple(pair))
}

fn empty_list(_: StoreContextMut<'_, State>, _: &[Val], results: &mut [Val]) -> Result<()> {
    put(results, Val::List(Vec::new()))
}

fn zero(_: StoreContextMut<'_, State>, _: &[Val], results: &mut [Val]) -> Result<()> {
    put(results, Val::U64(0))
}

/// Most bytes that a guest may write at once.
const MAX_WRITE: u64 = 4096;

fn output(mut store: StoreContextMut<'_, State>, _: &[Val], results: &mut [Val]) -> Result<()> {
    let stream = Resource::<OutputStream>::new_own(0);
    let stream = ResourceAny::try_from_resource(stream, &mut store)?;
    put(results, Val::Resource(stream))
}

fn room(_: StoreContextMut<'_, State>, _: &[Val], results: &mut [Val]) -> Result<()> {
    put(results, Val::Result(Ok(Some(Box::new(Val::U64(MAX_WRITE))))))
}

fn write(mut store: StoreContextMut<'_, State>, given: &[Val], results: &mut [Val]) -> Result<()> {
    let Some(Val::List(bytes)) = given.get(1) else { wasmtime::bail!("a write without bytes") };
    if bytes.len() as u64 > MAX_WRITE {
        wasmtime::bail!("at most {MAX_WRITE} bytes can be written at once");
    }
    let byte = |value: &Val| if let Val::U8(byte) = value { *byte } else { b'?' };
    let bytes: Vec<u8> = bytes.iter().map(byte).collect();
    store.data_mut().written(&bytes);
    put(results, Val::Result(Ok(None)))
}

fn flush(_: StoreContextMut<'_, State>, _: &[Val], results: &mut [Val]) -> Result<()> {
    put(results, Val::Result(Ok(None)))
}

fn subscribe(mut store: StoreContextMut<'_, State>, _: &[Val], results: &mut [Val]) -> Result<()> {
    let pollable = Resource::<Pollable>::new_own(0);
    let pollable = ResourceAny::try_from_resource(pollable, &mut store)?;
    put(results, Val::Resource(pollable))
}

fn nothing(_: StoreContextMut<'_, State>, _: &[Val], _: &mut [Val]) -> Result<()> {
    Ok(())
}

fn all_ready(_: StoreContextMut<'_, State>, given: &[Val], results: &mut [Val]) -> Result<()> {
    let Some(Val::List(pollables)) = given.first() else { wasmtime::bail!("poll without a list") };
    put(results, Val::List((0..pollables.len() as u32).map(Val::U32).collect()))
}
