//! What a component is, read from its bytes alone: nothing is compiled, nothing runs.

use sha2::{Digest, Sha256};
use wasmparser::{ComponentExternalKind, Encoding, Instance, KnownCustom, Parser, Payload};

use crate::loaded::{Hooks, OFFERED, PACKAGE};
use crate::spec::Limits;

/// Size of a page of linear memory (the WebAssembly core specification, "memory instances").
const PAGE: u64 = 64 << 10;

/// The facts of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Of its bytes.
    pub sha256: String,
    /// In bytes.
    pub size: usize,
    /// The hooks that it exports, by name.
    pub hooks: Vec<String>,
    /// Interfaces, worlds' functions and the like that it exports, as written.
    pub exports: Vec<String>,
    /// What it imports, as written; `wasi:*` included.
    pub imports: Vec<String>,
    /// Versions of `howdah:policy` that it was built against.
    pub versions: Vec<String>,
    /// What it imports of the host that has to be granted.
    pub grants: Vec<String>,
    /// Core modules in it.
    pub core_modules: usize,
    /// Core instances that it makes of them.
    pub core_instances: usize,
    /// Bytes of linear memory that it begins with, of all its memories.
    pub memory: u64,
    /// Most that its memories may grow to; none when any of them has no bound of its own.
    pub memory_maximum: Option<u64>,
    /// What made it: `rustc 1.95.0` and the like.
    pub producers: Vec<String>,
}

impl Description {
    /// Reads a component.
    ///
    /// # Errors
    /// It is none, or a broken one; says what to do.
    pub fn of(bytes: &[u8]) -> Result<Description, String> {
        if bytes.len() > Limits::COMPONENT {
            let (size, most) = (bytes.len(), Limits::COMPONENT);
            return Err(format!("it has {size} bytes; the largest that is loaded has {most}"));
        }
        let mut reading = Reading::default();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|error| format!("it is not WebAssembly: {error}"))?;
            reading.take(payload).map_err(|error| format!("it is broken: {error}"))?;
        }
        if !reading.component {
            return Err("it is a core module, not a component; build it for wasm32-wasip2, or \
                        make it one with wasm-tools component new"
                .into());
        }
        let mut found = reading.found;
        found.size = bytes.len();
        found.sha256 = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        found.memory_maximum = if reading.unbounded { None } else { Some(reading.maximum) };
        found.classify();
        Ok(found)
    }

    /// Interfaces of `wasi:*` that it imports.
    pub fn wasi(&self) -> usize {
        self.imports.iter().filter(|name| name.starts_with("wasi:")).count()
    }

    /// Tells hooks, versions and grants from the names.
    fn classify(&mut self) {
        let ours = |name: &str| {
            let interface = name.strip_prefix(PACKAGE)?;
            let (interface, version) = interface.split_once('@').unwrap_or((interface, ""));
            Some((interface.to_owned(), version.to_owned()))
        };
        for (hook, version) in self.exports.iter().filter_map(|name| ours(name)) {
            if Hooks::known().any(|known| known == hook) {
                self.hooks.push(hook);
            }
            self.versions.push(version);
        }
        for (interface, version) in self.imports.iter().filter_map(|name| ours(name)) {
            if !OFFERED.contains(&interface.as_str()) {
                self.grants.push(interface);
            }
            self.versions.push(version);
        }
        self.hooks.sort();
        self.versions.sort();
        self.versions.dedup();
    }
}

/// A component while it is being read.
#[derive(Default)]
struct Reading {
    found: Description,
    /// Modules and components that have begun and not ended.
    depth: usize,
    component: bool,
    maximum: u64,
    unbounded: bool,
}

impl Reading {
    fn take(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::Version { encoding, .. } => {
                self.component |= self.depth == 0 && encoding == Encoding::Component;
                self.found.core_modules += usize::from(encoding == Encoding::Module);
                self.depth += 1;
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if self.depth == 1 => {
                for import in section {
                    self.found.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if self.depth == 1 => {
                for export in section {
                    let export = export?;
                    let named = [ComponentExternalKind::Instance, ComponentExternalKind::Func];
                    if named.contains(&export.kind) {
                        self.found.exports.push(export.name.name.to_owned());
                    }
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    let made = matches!(instance?, Instance::Instantiate { .. });
                    self.found.core_instances += usize::from(made);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory?;
                    let bytes = |pages: u64| pages.saturating_mul(PAGE);
                    self.found.memory = self.found.memory.saturating_add(bytes(memory.initial));
                    match memory.maximum {
                        Some(most) => self.maximum = self.maximum.saturating_add(bytes(most)),
                        None => self.unbounded = true,
                    }
                }
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Producers(fields) = section.as_known() {
                    self.producers(fields);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Who made it; a broken section tells nobody anything, and harms nobody.
    fn producers(&mut self, fields: wasmparser::ProducersSectionReader<'_>) {
        for field in fields.into_iter().flatten() {
            for value in field.values.into_iter().flatten() {
                let made = match value.version {
                    "" => value.name.to_owned(),
                    version => format!("{} {version}", value.name),
                };
                if !self.found.producers.contains(&made) {
                    self.found.producers.push(made);
                }
            }
        }
    }
}
