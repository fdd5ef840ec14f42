//! The emulator's tables and answers against the vendor's own description, which is in the library for Python.

use std::io::Write;
use std::process::Command;

use backup_test_emulators::dropbox::{
    Absent, Called, Caller, Dropbox, Field, Form, ROUTES, Record, Route, Shape, Style,
};
use serde_json::{Map, Value, json};

use super::sdk::python;
use crate::programs::run;

/// Reads the description that the library is made of.
const DESCRIPTION: &str = r#"
import json, re, sys
try:
    from stone.backends.python_rsrc import stone_validators as bv
    from dropbox import auth, check, common, files, users
    from dropbox.base import DropboxBase
except ImportError:
    sys.exit("the package `dropbox` is not installed in the tests' environment; `cargo xtask test` installs it")
from stone.backends.python_rsrc.stone_serializers import json_compat_obj_decode

MODULES = {"auth": auth, "check": check, "files": files, "users": users}

def route_of(function):
    module, name = function.split("/", 1)
    routes = MODULES[module].ROUTES
    if name.endswith("_v2"):
        return routes[name[:-3] + ":2"]
    return routes[name]

def shape(validator):
    if isinstance(validator, bv.Boolean):
        return "flag"
    if isinstance(validator, bv.Timestamp):
        return "time"
    if isinstance(validator, bv.String):
        return {"text": [validator.min_length or 0, validator.max_length]}
    if isinstance(validator, bv.Integer):
        return {"whole": [validator.minimum, validator.maximum]}
    if isinstance(validator, bv.List):
        return {"list": [shape(validator.item_validator), validator.min_items or 0, validator.max_items]}
    if isinstance(validator, bv.Union):
        # The tag for everything that isn't known is never sent.
        tags = validator.definition._tagmap.items()
        members = {tag: None if isinstance(carried, bv.Void) else shape(carried) for tag, carried in tags}
        members.pop(validator.definition._catch_all, None)
        return {"choice": validator.definition.__name__, "members": members}
    if isinstance(validator, bv.Struct):
        return record(validator)
    raise AssertionError(validator)

def plain(default):
    return default._tag if hasattr(default, "_tag") else default

def record(validator):
    fields = {}
    for name, inner in validator.definition._all_fields_:
        if isinstance(inner, bv.Nullable):
            fields[name] = {"shape": shape(inner.validator), "absent": "null"}
            continue
        attribute = getattr(validator.definition, name)
        default = "never"
        if type(attribute.default) is not object:
            default = {"means": plain(attribute.default)}
        fields[name] = {"shape": shape(inner), "absent": default}
    return {"record": validator.definition.__name__, "fields": fields}

def describe(function):
    route = route_of(function)
    argument = None if isinstance(route.arg_type, bv.Void) else record(route.arg_type)
    # What the user must allow is told to people only.
    told = re.search(r"scope: (\S+)", getattr(DropboxBase, function.replace("/", "_")).__doc__)
    scope = told and told.group(1)
    return {**{name: route.attrs[name] for name in ("auth", "host", "style")}, "argument": argument, "scope": scope}

def accepts(function, value):
    try:
        json_compat_obj_decode(route_of(function).arg_type, value, strict=True)
    except bv.ValidationError:
        return False
    return True

def check_answer(called):
    route = route_of(called["function"])
    status, answer = called["status"], called["answer"]
    if status in (200, 206):
        kind = route.result_type
    elif status == 409:
        kind = route.error_type
        assert not isinstance(kind, bv.Void), "this function has no errors of its own"
    elif status == 401:
        kind = bv.Union(auth.AuthError)
    elif status == 422:
        kind = bv.Union(common.PathRootError)
    else:
        return
    if isinstance(kind, bv.Void):
        assert answer is None, "an answer where there is none"
    else:
        json_compat_obj_decode(kind, answer, strict=True)

task, given = json.load(open(sys.argv[1]))
if task == "describe":
    print(json.dumps({function: describe(function) for function in given}))
elif task == "accept":
    print(json.dumps([accepts(function, value) for function, value in given]))
else:
    wrong = []
    for called in given:
        try:
            check_answer(called)
        except (bv.ValidationError, AssertionError) as error:
            wrong.append([called, str(error)])
    print(json.dumps(wrong))
"#;

/// What the description says to a task.
fn described(task: &str, given: &Value) -> Value {
    let home = tempfile::tempdir().unwrap();
    let (program, input) = (home.path().join("description.py"), home.path().join("task.json"));
    std::fs::write(&program, DESCRIPTION).unwrap();
    let mut file = std::fs::File::create(&input).unwrap();
    file.write_all(json!([task, given]).to_string().as_bytes()).unwrap();
    let mut command: Command = python(home.path());
    let output = run(command.arg(program).arg(input)).ok();
    serde_json::from_str(&output).unwrap()
}

/// Every answer that the emulator has given is one that the vendor describes.
pub(super) fn are_as_described(dropbox: &Dropbox) {
    let calls = dropbox.calls();
    assert!(!calls.is_empty());
    let answers = calls.into_iter().map(
        |Called { function, status, answer, .. }| json!({ "function": function, "status": status, "answer": answer }),
    );
    let wrong = described("answers", &answers.collect());
    assert_eq!(wrong, json!([]));
}

fn bound(number: usize) -> Value {
    if number == usize::MAX { Value::Null } else { number.into() }
}

fn shape(shape: &Shape) -> Value {
    match shape {
        Shape::Flag => "flag".into(),
        Shape::Time => "time".into(),
        Shape::Text { min, max, .. } => json!({ "text": [min, bound(*max)] }),
        Shape::Whole(least, most) => json!({ "whole": [least, most] }),
        Shape::List(item, min, max) => json!({ "list": [self::shape(item), min, bound(*max)] }),
        Shape::Record(fields) => record(fields),
        Shape::Choice(choice) => {
            let members = choice.members.iter();
            let members =
                members.map(|(tag, carried)| ((*tag).to_owned(), carried.as_ref().map_or(Value::Null, self::shape)));
            json!({ "choice": choice.name, "members": members.collect::<Map<_, _>>() })
        }
    }
}

fn record(record: &Record) -> Value {
    let field = |Field { name, shape, absent }: &Field| {
        let absent = match absent {
            Absent::Never => "never".into(),
            Absent::Null => "null".into(),
            Absent::Means(json) => json!({ "means": serde_json::from_str::<Value>(json).unwrap() }),
        };
        ((*name).to_owned(), json!({ "shape": self::shape(shape), "absent": absent }))
    };
    json!({ "record": record.name, "fields": record.fields.iter().map(field).collect::<Map<_, _>>() })
}

fn route(route: &Route) -> Value {
    let auth = match route.caller {
        Caller::User => "user",
        Caller::App => "app",
        Caller::AppOrUser => "app, user",
        Caller::Anybody => "noauth",
    };
    let style = match route.style {
        Style::Rpc => "rpc",
        Style::Upload => "upload",
        Style::Download => "download",
    };
    json!({ "auth": auth, "host": route.host, "style": style, "argument": route.argument.map(record), "scope": route.scope })
}

#[test]
fn the_tables_say_what_the_vendor_says() {
    let functions: Vec<_> = ROUTES.iter().map(Route::called).collect();
    let wanted = described("describe", &json!(functions));
    assert_eq!(wanted.as_object().unwrap().len(), ROUTES.len());
    for (name, ours) in functions.iter().zip(&ROUTES) {
        assert_eq!(route(ours), wanted[name], "{name}");
    }
}

/// Values of all kinds, some of which fit somewhere.
fn values() -> Vec<Value> {
    let texts = [
        "",
        "x",
        "/",
        "/a",
        "/a\nb",
        "//",
        "/a\\",
        "id:",
        "id:x",
        "id:x\ny",
        "id:x/y",
        "rev:0123456789",
        "rev:0123",
        "rev:012345678x",
        "rev:0123456789\n",
        "ns:1",
        "ns:",
        "ns:1/a",
        "ns:1a",
        "ns:1/a\nb",
        "ns:x",
        "0123456789",
        "01234567",
        "012345678",
        "ABCDEF0123",
        "0123456789\n",
        "ptid:a",
        "ptid:a\nb",
        "ptid:",
        "other",
        "add",
        "overwrite",
        "update",
        "sequential",
        "concurrent",
        "path",
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.5Z",
        "2026-01-02T03:04:05+00:00",
        "2026-02-30T00:00:00Z",
        "2026-01-02",
        "ä",
        "😀😀😀😀😀😀😀😀",
    ];
    let lengths = [63, 64, 65, 500, 501].map(|length| Value::from("0".repeat(length)));
    let objects = [
        json!({}),
        json!({ ".tag": "add" }),
        json!({ ".tag": "add", "add": null }),
        json!({ ".tag": "add", "x": 1 }),
        json!({ ".tag": "update", "update": "0123456789" }),
        json!({ ".tag": "update", "update": "0123456789", "x": 1 }),
        json!({ ".tag": "update", "update": "x" }),
        json!({ ".tag": "update" }),
        json!({ ".tag": 1 }),
        json!({ ".tag": "other" }),
        json!({ "add": null }),
        json!({ ".tag": "filter_some", "filter_some": ["/x"] }),
        json!({ ".tag": "filter_some", "filter_some": [] }),
        json!({ "url": "x" }),
        json!({ "session_id": "x", "offset": 0 }),
        json!({ "session_id": "x", "offset": -1 }),
        json!({ "session_id": "x", "offset": 0, "x": 0 }),
        json!({ "path": "/x" }),
    ];
    let lists = [
        json!([]),
        json!(["x"]),
        json!([{}]),
        json!([{ "path": "/x" }]),
        json!(vec![json!({ "path": "/x" }); 1000]),
        json!(vec![json!({ "path": "/x" }); 1001]),
        json!([{ "template_id": "/x", "fields": [] }]),
        json!([{ "template_id": "/x", "fields": [{ "name": "x", "value": "y" }] }]),
        json!([{ "template_id": "x", "fields": [] }]),
    ];
    let numbers =
        [json!(0), json!(1), json!(29), json!(30), json!(100), json!(101), json!(480), json!(481), json!(1000)];
    let more =
        [json!(1001), json!(2000), json!(2001), json!(-1), json!(1.5), json!(u64::MAX), json!(null), json!(true)];
    texts.map(Value::from).into_iter().chain(lengths).chain(objects).chain(lists).chain(numbers).chain(more).collect()
}

/// An argument with everything in it that must be there.
fn least(of: &Record) -> Value {
    let required = of.fields.iter().filter(|field| field.absent == Absent::Never);
    required.map(|field| (field.name.to_owned(), fitting(&field.shape))).collect::<Map<_, _>>().into()
}

fn fitting(shape: &Shape) -> Value {
    match shape {
        Shape::Flag => true.into(),
        Shape::Time => "2026-01-02T03:04:05Z".into(),
        Shape::Text { form: Form::Any, min, .. } => "x".repeat(*min.max(&1)).into(),
        Shape::Text { form: Form::Rev, .. } => "0123456789".into(),
        Shape::Text { .. } => "/x".into(),
        Shape::Whole(least, _) => (*least).into(),
        Shape::List(item, ..) => json!([fitting(item)]),
        Shape::Record(fields) => least(fields),
        Shape::Choice(choice) => choice.members[0].0.into(),
    }
}

/// Arguments with another value in every field, and in the fields of what is in fields.
fn variants(of: &Record, values: &[Value]) -> Vec<Value> {
    let whole = least(of);
    let mut all = vec![whole.clone(), Value::Null, json!([]), json!("x")];
    let mut unknown = whole.clone();
    unknown["unknown"] = 1.into();
    all.push(unknown);
    for field in of.fields {
        let mut without = whole.clone();
        without.as_object_mut().unwrap().remove(field.name);
        all.push(without);
        let inner = match &field.shape {
            Shape::Record(inner) => variants(inner, values),
            Shape::List(Shape::Record(inner), ..) => {
                variants(inner, values).into_iter().map(|one| json!([one])).collect()
            }
            _ => Vec::new(),
        };
        for value in values.iter().chain(&inner) {
            // In Python a truth value is a number; in JSON it is none.
            if matches!(field.shape, Shape::Whole(..)) && value.is_boolean() {
                continue;
            }
            let mut with = whole.clone();
            with[field.name] = value.clone();
            all.push(with);
        }
    }
    all
}

#[test]
fn arguments_are_refused_that_the_vendor_refuses_and_no_others() {
    let values = values();
    let mut asked = Vec::new();
    let mut ours = Vec::new();
    for route in &ROUTES {
        let Some(argument) = route.argument else { continue };
        for value in variants(argument, &values) {
            ours.push(Shape::Record(argument).check(&value));
            asked.push(json!([route.called(), value]));
        }
    }
    let theirs = described("accept", &asked.clone().into());
    let theirs = theirs.as_array().unwrap();
    assert_eq!(theirs.len(), ours.len());
    let accepted = theirs.iter().filter(|accepts| **accepts == true).count();
    assert!(accepted > 500 && ours.len() - accepted > 5000, "{accepted} of {} are accepted", ours.len());
    for ((asked, theirs), ours) in asked.iter().zip(theirs).zip(&ours) {
        let shown: String = asked.to_string().chars().take(300).collect();
        assert_eq!(ours.is_ok(), *theirs == true, "{shown}: {:?}", ours.as_ref().err());
    }
}
