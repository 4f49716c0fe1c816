//! The world between guest and host, as the compiled components have it: what is not
//! listed here is not there.

use tenantry::GUEST;
use tenantry_component::{Precompiled, engine_config};
use tenantry_misbehaving_component::MISBEHAVING;
use wasmtime::{
    Engine,
    component::types::{ComponentFunc, ComponentItem, Type},
};

/// All that a sandbox can ask of its host.
const IMPORTS: &str = "\
tenantry:sandbox/scope@0.1.0
    admit-chat() -> enum{granted, refused, unavailable}
    open-session(record{high: u64, low: u64}) -> enum{opened, exists, full, unavailable}
    owner(record{high: u64, low: u64}) -> enum{mine, another, unknown, unavailable}
wasi:random/random@0.2.6
    get-random-u64() -> u64
";

/// All that the host can ask of a sandbox.
const EXPORTS: &str = "\
tenantry:sandbox/handler@0.1.0
    handle(record{\
texts: variant{utf8(string), bytes(list<u8>)}, \
method: enum{get, head, post, other}, \
target-end: u32, \
content-type-end: option<u32>}) -> record{\
status: u16, \
content-type: option<enum{json, html, text}>, \
allow: option<enum{get-head, post}>, \
location: option<string>, \
retry-after: option<u64>, \
body: variant{bytes(list<u8>), tenant-list}, \
head-only: bool}
    perform(record{\
kind: enum{open-session, chat}, \
texts: string, \
row: option<record{ends: tuple<u32, u32, u32, u32, u32>, reply-style: enum{reverse, upper, ack}, suspended: bool}>, \
tenant-id-end: u32, \
session-id-end: u32}) -> record{\
status: u16, \
content-type: option<enum{json, html, text}>, \
allow: option<enum{get-head, post}>, \
location: option<string>, \
retry-after: option<u64>, \
body: variant{bytes(list<u8>), tenant-list}, \
head-only: bool}
";

/// The functions of a component's imports and of its exports, by interface.
struct World {
    imports: Vec<(String, Vec<Function>)>,
    exports: Vec<(String, Vec<Function>)>,
}

struct Function {
    name: String,
    params: Vec<Type>,
    result: Option<Type>,
}

impl World {
    fn of(guest: &Precompiled) -> Self {
        let engine = Engine::new(&engine_config()).expect("an engine");
        let component = guest.load(&engine).expect("a component");
        let world = component.component_type();
        let imports = world.imports(&engine);
        let exports = world.exports(&engine);
        Self {
            imports: interfaces(&engine, imports.map(|(name, item)| (name, item.ty))),
            exports: interfaces(&engine, exports.map(|(name, item)| (name, item.ty))),
        }
    }
}

fn interfaces<'a>(
    engine: &Engine,
    items: impl Iterator<Item = (&'a str, ComponentItem)>,
) -> Vec<(String, Vec<Function>)> {
    let mut interfaces: Vec<_> = items
        .map(|(name, item)| {
            let ComponentItem::ComponentInstance(interface) = item else {
                panic!("{name} is no interface: {item:?}");
            };
            let items = interface.exports(engine);
            let mut functions: Vec<_> = items
                .filter_map(|(name, item)| match item.ty {
                    ComponentItem::ComponentFunc(func) => Some(Function::new(name, &func)),
                    // A type's name does nothing.
                    ComponentItem::Type(_) => None,
                    other => panic!("{name} is neither function nor type: {other:?}"),
                })
                .collect();
            functions.sort_by(|one, other| one.name.cmp(&other.name));
            (name.to_owned(), functions)
        })
        .collect();
    interfaces.sort_by(|(one, _), (other, _)| one.cmp(other));
    interfaces
}

impl Function {
    fn new(name: &str, func: &ComponentFunc) -> Self {
        let mut results = func.results();
        let result = results.next();
        assert!(results.next().is_none(), "{name} has more than one result");
        Self {
            name: name.to_owned(),
            params: func.params().map(|(_, param)| param).collect(),
            result,
        }
    }
}

/// A line for each interface and each function.
fn listing(interfaces: &[(String, Vec<Function>)]) -> String {
    let mut lines = String::new();
    for (name, functions) in interfaces {
        lines += &format!("{name}\n");
        for function in functions {
            let params: Vec<_> = function.params.iter().map(shown).collect();
            let result = function.result.as_ref().map_or("_".to_owned(), shown);
            lines += &format!("    {}({}) -> {result}\n", function.name, params.join(", "));
        }
    }
    lines
}

/// A type with everything in it.
fn shown(ty: &Type) -> String {
    let list = |types: &mut dyn Iterator<Item = String>| types.collect::<Vec<_>>().join(", ");
    let or_none = |ty: Option<Type>| ty.as_ref().map_or("_".to_owned(), shown);
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::U8 => "u8".to_owned(),
        Type::U16 => "u16".to_owned(),
        Type::U32 => "u32".to_owned(),
        Type::U64 => "u64".to_owned(),
        Type::String => "string".to_owned(),
        Type::List(items) => format!("list<{}>", shown(&items.ty())),
        Type::Option(option) => format!("option<{}>", shown(&option.ty())),
        Type::Result(result) => {
            format!(
                "result<{}, {}>",
                or_none(result.ok()),
                or_none(result.err())
            )
        }
        Type::Enum(words) => format!("enum{{{}}}", list(&mut words.names().map(Into::into))),
        Type::Tuple(tuple) => format!("tuple<{}>", list(&mut tuple.types().map(|ty| shown(&ty)))),
        Type::Record(record) => {
            let fields = record.fields();
            let mut fields = fields.map(|field| format!("{}: {}", field.name, shown(&field.ty)));
            format!("record{{{}}}", list(&mut fields))
        }
        Type::Variant(variant) => {
            let mut cases = variant.cases().map(|case| match case.ty {
                Some(ty) => format!("{}({})", case.name, shown(&ty)),
                None => case.name.to_owned(),
            });
            format!("variant{{{}}}", list(&mut cases))
        }
        other => panic!("a type that this world has no use for: {other:?}"),
    }
}

#[test]
fn a_guest_imports_and_exports_what_its_world_says_and_nothing_else() {
    for guest in [&GUEST, &MISBEHAVING] {
        let world = World::of(guest);
        assert_eq!(listing(&world.imports), IMPORTS);
        assert_eq!(listing(&world.exports), EXPORTS);
    }
}

/// A tenant has a name, which is a text, or a number, as the host's stores count them.
/// The one thing that a guest may name is a session, by its whole id.
#[test]
fn no_import_can_name_a_tenant() {
    let session_id = "record{high: u64, low: u64}";
    let mut functions = 0;
    for (interface, imported) in World::of(&GUEST).imports {
        for function in imported {
            functions += 1;
            for param in &function.params {
                assert_eq!(shown(param), session_id, "{interface} {}", function.name);
            }
            let result = function.result.as_ref().map(shown).unwrap_or_default();
            assert!(
                !result.contains("string") && !result.contains("list"),
                "{interface} {} tells {result}",
                function.name
            );
        }
    }
    assert_eq!(functions, 4);
}
