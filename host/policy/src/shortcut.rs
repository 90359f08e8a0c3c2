//! A shorter way from the engine into a hook.
//!
//! A hook is lifted from a core function that an instance exports, and the engine looks that export up at each call. If
//! the instance's module has defined the function, the engine puts a reference to it together anew, which takes several
//! searches; if the module has only imported it, the reference is at hand (wasmtime, `vm/instance.rs`, `get_func_ref`).
//! So a module is put in between that imports the functions of all hooks and exports them again: the same functions are
//! called, and nothing else on the way.

use std::collections::BTreeMap;
use std::convert::Infallible;

use wasm_encoder::reencode::{
    Error, Reencode, ReencodeComponent, RoundtripReencoder, component_utils,
};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, Component, ComponentAliasSection, EntityType, ExportKind,
    ExportSection, ImportSection, InstanceSection, Module, ModuleArg, ModuleSection, RawSection,
    TypeSection,
};
use wasmparser::{
    CanonicalFunction, ComponentAlias, ExternalKind, FuncType, Parser, Payload, Validator,
};

/// Of what is made here: another one is not taken for it.
pub(crate) const VERSION: u32 = 1;

/// The component with the module in between. None: it has no hooks, is not valid, or is built in another order than
/// tools do, and is best left as it is.
pub(crate) fn shortened(component: &[u8]) -> Option<Vec<u8>> {
    let outline = Outline::of(component).ok()?;
    let before = outline.before.as_ref().filter(|_| !outline.hooks.is_empty())?;
    outline.write(before, component).ok()
}

/// A component, its nested parts closed.
#[derive(Default)]
struct Outline<'a> {
    parts: Vec<Payload<'a>>,
    /// The core functions that hooks are lifted from, by index.
    hooks: BTreeMap<u32, Hook<'a>>,
    /// What there is before the first one is lifted: there the module is put.
    before: Option<Before>,
}

struct Hook<'a> {
    /// The core instance that exports the function, and as what.
    instance: u32,
    name: &'a str,
    ty: FuncType,
}

/// Indices of what comes next: of the part, and of what it may define.
struct Before {
    part: usize,
    function: u32,
    instance: u32,
    module: u32,
}

impl<'a> Outline<'a> {
    fn of(component: &'a [u8]) -> wasmparser::Result<Outline<'a>> {
        let mut outline = Outline::default();
        let mut validator = Validator::new();
        let mut exports = BTreeMap::new();
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            if depth == 0 {
                outline.look(&payload, &validator, &mut exports)?;
            }
            validator.payload(&payload)?;
            let nested = match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => 1,
                Payload::End(_) => -1,
                _ => 0,
            };
            if depth == 0 {
                outline.parts.push(payload);
            }
            depth += nested;
        }
        Ok(outline)
    }

    /// Looks for functions of instances, and for hooks. `validator` knows what came before.
    fn look(
        &mut self,
        part: &Payload<'a>,
        validator: &Validator,
        exports: &mut BTreeMap<u32, (u32, &'a str)>,
    ) -> wasmparser::Result<()> {
        let Some(types) = validator.types(0) else { return Ok(()) };
        match part {
            Payload::ComponentAliasSection(aliases) => {
                let mut function = types.function_count();
                for alias in aliases.clone() {
                    let ComponentAlias::CoreInstanceExport { kind, instance_index, name } = alias?
                    else {
                        continue;
                    };
                    if kind == ExternalKind::Func {
                        exports.insert(function, (instance_index, name));
                        function += 1;
                    }
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions.clone() {
                    let CanonicalFunction::Lift { core_func_index: index, .. } = function? else {
                        continue;
                    };
                    self.before.get_or_insert_with(|| Before {
                        part: self.parts.len(),
                        function: types.function_count(),
                        instance: types.core_instance_count(),
                        module: types.module_count(),
                    });
                    if let Some(&(instance, name)) = exports.get(&index) {
                        let ty = types[types.core_function_at(index)].unwrap_func().clone();
                        self.hooks.insert(index, Hook { instance, name, ty });
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn write(&self, before: &Before, component: &[u8]) -> Result<Vec<u8>, Error> {
        let passed_on = self.hooks.keys().copied().zip(before.function..).collect();
        let mut moved = Moved { from: before.function, passed_on };
        let mut new = Component::new();
        for (i, part) in self.parts.iter().enumerate() {
            if i == before.part {
                self.put_between(before, &mut new)?;
            }
            match part {
                Payload::ComponentCanonicalSection(functions) => {
                    let mut section = CanonicalFunctionSection::new();
                    moved.parse_component_canonical_section(&mut section, functions.clone())?;
                    new.section(&section);
                }
                // What would have to be counted anew.
                Payload::ModuleSection { .. } | Payload::InstanceSection(_) if i > before.part => {
                    return Err(Error::UnexpectedNonComponentSection);
                }
                part => {
                    let Some((id, range)) = part.as_section() else { continue };
                    let data = &component[range.start as usize..range.end as usize];
                    new.section(&RawSection { id, data });
                }
            }
        }
        Ok(new.finish())
    }

    /// Adds the module, its instance, and what that exports.
    fn put_between(&self, before: &Before, component: &mut Component) -> Result<(), Error> {
        let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
        let (mut exports, mut aliases) = (ExportSection::new(), ComponentAliasSection::new());
        let mut from = BTreeMap::new();
        for (index, hook) in (0..).zip(self.hooks.values()) {
            let (instance, name) = (hook.instance.to_string(), index.to_string());
            types.ty().func_type(&RoundtripReencoder.func_type(hook.ty.clone())?);
            imports.import(&instance, hook.name, EntityType::Function(index));
            exports.export(&name, ExportKind::Func, index);
            aliases.alias(Alias::CoreInstanceExport {
                instance: before.instance,
                kind: ExportKind::Func,
                name: &name,
            });
            from.insert(instance, ModuleArg::Instance(hook.instance));
        }
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&exports);
        let mut instance = InstanceSection::new();
        instance.instantiate(before.module, from);
        component.section(&ModuleSection(&module)).section(&instance).section(&aliases);
        Ok(())
    }
}

/// What functions are called afterwards.
struct Moved {
    /// From this one on they have moved up.
    from: u32,
    /// Those that the module passes on.
    passed_on: BTreeMap<u32, u32>,
}

impl Reencode for Moved {
    type Error = Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, Error> {
        let by = if index < self.from { 0 } else { self.passed_on.len() as u32 };
        Ok(index + by)
    }
}

impl ReencodeComponent for Moved {
    fn parse_component_canonical(
        &mut self,
        section: &mut CanonicalFunctionSection,
        function: CanonicalFunction,
    ) -> Result<(), Error> {
        match function {
            CanonicalFunction::Lift { core_func_index: index, type_index, options }
                if let Some(&function) = self.passed_on.get(&index) =>
            {
                let options = options.iter().map(|option| self.canonical_option(*option));
                section.lift(function, type_index, options.collect::<Result<Vec<_>, _>>()?);
                Ok(())
            }
            other => component_utils::parse_component_canonical(self, section, other),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use wasmtime::Store;
    use wasmtime::component::{Component, ComponentNamedList, Instance, Lift, Linker, Lower};

    use super::{Outline, shortened};
    use crate::engine::engine;

    /// `tick` tells how often a snapshot has been released, and `restore` refuses what it is given, with its length.
    const POLICY: &str = r#"(module
        (memory (export "memory") 1)
        (global $released (mut i32) (i32.const 0))
        (data (i32.const 0) "\10\00\00\00\05\00\00\00")
        (data (i32.const 16) "state")
        (data (i32.const 32) "\01\00\00\00\10\00\00\00")
        (func (export "howdah:policy/tick@0.1.0#tick") (result i32) (global.get $released))
        (func (export "howdah:policy/state@0.1.0#snapshot") (result i32) (i32.const 0))
        (func (export "cabi_post_howdah:policy/state@0.1.0#snapshot") (param i32)
            (global.set $released (i32.add (global.get $released) (i32.const 1))))
        (func (export "howdah:policy/state@0.1.0#restore") (param i32 i32) (result i32)
            (i32.store (i32.const 40) (local.get 1))
            (i32.const 32))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))"#;

    /// Calls a function of an interface.
    fn call<P, R>(store: &mut Store<()>, instance: &Instance, names: [&str; 2], arguments: P) -> R
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let interface = format!("howdah:policy/{}@0.1.0", names[0]);
        let (_, interface) = instance.get_export(&mut *store, None, &interface).unwrap();
        let (_, function) = instance.get_export(&mut *store, Some(&interface), names[1]).unwrap();
        let function = instance.get_typed_func::<P, R>(&mut *store, function).unwrap();
        function.call(store, arguments).unwrap()
    }

    #[test]
    fn the_same_functions_are_called_in_a_shorter_way() {
        let module = wat::parse_str(POLICY).unwrap();
        let long = howdah_component::component(&module).unwrap();
        let short = shortened(&long).unwrap();
        let (before, after) = (Outline::of(&long).unwrap(), Outline::of(&short).unwrap());
        assert_eq!((before.hooks.len(), after.hooks.len()), (3, 3));
        let between = before.before.unwrap().instance;
        assert!(before.hooks.values().all(|hook| hook.instance < between));
        assert!(after.hooks.values().all(|hook| hook.instance == between));
        for component in [long, short] {
            let engine = engine().unwrap();
            let component = Component::new(&engine, &component).unwrap();
            let store = &mut Store::new(&engine, ());
            store.set_epoch_deadline(1);
            let instance = Linker::new(&engine).instantiate(&mut *store, &component).unwrap();
            for released in 0..3 {
                let (told,): (u32,) = call(store, &instance, ["tick", "tick"], ());
                assert_eq!(told, released);
                let (state,): (Vec<u8>,) = call(store, &instance, ["state", "snapshot"], ());
                assert_eq!(state, b"state");
            }
            let state = (&[1_u8; 5][..],);
            let (outcome,): (Result<(), String>,) =
                call(store, &instance, ["state", "restore"], state);
            assert_eq!(outcome, Err("state".to_owned()));
        }
    }

    #[test]
    fn what_is_built_otherwise_stays_as_it_is() {
        let hook = r#"(core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))"#;
        let alone = wat::parse_str(format!("(component {hook})")).unwrap();
        assert!(shortened(&alone).is_some());
        let behind = [r"(core module)", r"(core instance (instantiate $m))"];
        let behind = behind.map(|behind| format!("(component {hook} {behind})"));
        let lowered = r#"(component (import "f" (func $f))
            (core func $g (canon lower (func $f)))
            (func (canon lift (core func $g))))"#;
        let others = ["(component)", "(module)", lowered];
        for text in behind.iter().map(String::as_str).chain(others) {
            assert!(shortened(&wat::parse_str(text).unwrap()).is_none(), "{text}");
        }
        assert!(shortened(b"").is_none());
        assert!(shortened(&alone[..alone.len() - 3]).is_none());
    }
}
