//! A WIT package as guests depend on it, and what of a later one would break them. Comments, and the order of
//! interfaces and functions, mean nothing to a guest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use wit_parser::{
    Function, FunctionKind, InterfaceId, PackageId, Resolve, Type, TypeDefKind, TypeId, TypeOwner,
    WorldId, WorldItem,
};

/// See above.
pub(crate) struct Package {
    /// As in `0.1.0`.
    pub(crate) version: String,
    interfaces: BTreeMap<String, Interface>,
    /// By world, what it imports and exports.
    worlds: BTreeMap<String, BTreeSet<String>>,
}

/// Types and functions of an interface, each in one line.
#[derive(Default)]
struct Interface {
    items: BTreeMap<String, String>,
    /// Some world exports it.
    exported: bool,
}

impl Package {
    /// The package in a folder.
    pub(crate) fn read(folder: &Path) -> Package {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(folder).unwrap();
        Package::of(&resolve, package)
    }

    /// The package in a text.
    pub(crate) fn parse(text: &str) -> Package {
        let mut resolve = Resolve::default();
        let package = resolve.push_source("made-up.wit", text).unwrap();
        Package::of(&resolve, package)
    }

    fn of(resolve: &Resolve, id: PackageId) -> Package {
        let package = &resolve.packages[id];
        let names = Names(resolve);
        let interface = |(name, id): (&String, &InterfaceId)| (name.clone(), names.interface(*id));
        let mut interfaces: BTreeMap<_, _> = package.interfaces.iter().map(interface).collect();
        for world in package.worlds.values() {
            for item in resolve.worlds[*world].exports.values() {
                interfaces.entry(names.item(item)).or_default().exported = true;
            }
        }
        let world = |(name, id): (&String, &WorldId)| (name.clone(), names.world(*id));
        let worlds = package.worlds.iter().map(world).collect();
        let version = package.name.version.as_ref().unwrap().to_string();
        Package { version, interfaces, worlds }
    }

    /// What guests that were built against this package would miss in a later one, or find to be another.
    pub(crate) fn broken_by(&self, later: &Package) -> Vec<String> {
        let mut broken = Vec::new();
        for (name, before) in &self.interfaces {
            match later.interfaces.get(name) {
                Some(now) => broken.extend(before.broken_by(name, now)),
                None => broken.push(format!("interface {name} is gone")),
            }
        }
        for (name, before) in &self.worlds {
            match later.worlds.get(name) {
                Some(now) => {
                    let missing = before.difference(now);
                    broken.extend(missing.map(|port| format!("world {name} does not {port}")));
                }
                None => broken.push(format!("world {name} is gone")),
            }
        }
        broken
    }
}

impl Interface {
    fn broken_by(&self, name: &str, later: &Interface) -> Vec<String> {
        let mut broken = Vec::new();
        for (item, before) in &self.items {
            match later.items.get(item) {
                Some(now) if now == before => {}
                Some(now) => broken.push(format!("{name}: {item} was {before} and is {now}")),
                None => broken.push(format!("{name}: {item} is gone")),
            }
        }
        if self.exported {
            let new = later.items.keys().filter(|item| !self.items.contains_key(*item));
            broken.extend(new.map(|item| format!("{name}: {item} is new, and guests export it")));
        }
        broken
    }
}

/// Writes down what types mean.
struct Names<'a>(&'a Resolve);

impl Names<'_> {
    fn interface(&self, id: InterfaceId) -> Interface {
        let interface = &self.0.interfaces[id];
        let types = interface.types.iter();
        let types = types.map(|(name, id)| (format!("type {name}"), self.definition(*id)));
        let functions = interface.functions.iter();
        let functions = functions.map(|(name, f)| (format!("function {name}"), self.function(f)));
        Interface { items: types.chain(functions).collect(), exported: false }
    }

    fn world(&self, id: WorldId) -> BTreeSet<String> {
        let world = &self.0.worlds[id];
        let imports = world.imports.values().map(|item| format!("import {}", self.item(item)));
        let exports = world.exports.values().map(|item| format!("export {}", self.item(item)));
        imports.chain(exports).collect()
    }

    fn item(&self, item: &WorldItem) -> String {
        match item {
            WorldItem::Interface { id, .. } => self.0.interfaces[*id].name.clone().unwrap(),
            other => panic!("worlds have interfaces only, not {other:?}"),
        }
    }

    fn function(&self, function: &Function) -> String {
        assert_eq!(function.kind, FunctionKind::Freestanding, "{}", function.name);
        let params = function.params.iter().map(|param| (param.name.as_str(), Some(&param.ty)));
        let result = function.result.as_ref().map_or("nothing".to_owned(), |ty| self.name(ty));
        format!("{} -> {result}", self.list("func", params))
    }

    /// What stands behind a name.
    fn definition(&self, id: TypeId) -> String {
        let none = |name| (name, None);
        match &self.0.types[id].kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter();
                self.list("record", fields.map(|field| (field.name.as_str(), Some(&field.ty))))
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter();
                self.list("variant", cases.map(|case| (case.name.as_str(), case.ty.as_ref())))
            }
            TypeDefKind::Enum(one) => {
                self.list("enum", one.cases.iter().map(|case| case.name.as_str()).map(none))
            }
            TypeDefKind::Flags(flags) => {
                self.list("flags", flags.flags.iter().map(|flag| flag.name.as_str()).map(none))
            }
            TypeDefKind::Type(ty) => self.name(ty),
            nameless => self.structure(nameless),
        }
    }

    fn structure(&self, kind: &TypeDefKind) -> String {
        let or_none = |ty: &Option<Type>| ty.as_ref().map_or("_".to_owned(), |ty| self.name(ty));
        match kind {
            TypeDefKind::List(ty) => format!("list<{}>", self.name(ty)),
            TypeDefKind::Option(ty) => format!("option<{}>", self.name(ty)),
            TypeDefKind::Result(result) => {
                format!("result<{}, {}>", or_none(&result.ok), or_none(&result.err))
            }
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<_> = tuple.types.iter().map(|ty| self.name(ty)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            other => panic!("the interface has had no {} so far", other.as_str()),
        }
    }

    /// A type's name, with its interface; one that is used from elsewhere has the name that it has there.
    fn name(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else { return format!("{ty:?}").to_lowercase() };
        let definition = &self.0.types[*id];
        match (&definition.kind, &definition.name, definition.owner) {
            (TypeDefKind::Type(ty), ..) => self.name(ty),
            (_, Some(name), TypeOwner::Interface(owner)) => {
                format!("{}.{name}", self.0.interfaces[owner].name.as_deref().unwrap())
            }
            (kind, ..) => self.structure(kind),
        }
    }

    fn list<'t>(
        &self,
        what: &str,
        parts: impl Iterator<Item = (&'t str, Option<&'t Type>)>,
    ) -> String {
        let parts: Vec<_> = parts
            .map(|(name, ty)| match ty {
                Some(ty) => format!("{name}: {}", self.name(ty)),
                None => name.to_owned(),
            })
            .collect();
        format!("{what}({})", parts.join(", "))
    }
}
