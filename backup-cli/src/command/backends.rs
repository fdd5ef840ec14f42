//! `backup backends`: the plug-ins of this program, and their options.

mod login;
mod trust;

use backup_core::registry::{Descriptor, Family, OptionDoc, OptionKind};
use serde::Serialize;

use crate::args::{BackendsArgs, BackendsCommand};
use crate::context::Context;
use crate::error::{CliError, did_you_mean};
use crate::exit_code::Exit;
use crate::output::human;

#[derive(Serialize)]
struct PluginLine<'a> {
    family: &'static str,
    name: &'a str,
    summary: &'a str,
    schemes: &'a [&'a str],
    options: Vec<OptionLine<'a>>,
    example: &'a str,
    #[serde(rename = "crate")]
    crate_name: &'a str,
}

#[derive(Serialize)]
struct OptionLine<'a> {
    name: &'a str,
    kind: String,
    required: bool,
    unit: Option<&'a str>,
    default: Option<&'a str>,
    help: &'a str,
}

#[derive(Serialize)]
struct AbsentLine {
    family: &'static str,
    name: &'static str,
    feature: &'static str,
}

pub(crate) async fn run(context: &Context, args: BackendsArgs) -> Result<Exit, CliError> {
    match args.action {
        None => {}
        #[cfg(feature = "conformance")]
        Some(BackendsCommand::Test { place }) => return super::conformance::probe(context, place).await,
        Some(BackendsCommand::Trust(args)) => return trust::run(context, &args).await,
        Some(BackendsCommand::Login(args)) => return login::run(context, &args).await,
    }
    match &args.name {
        Some(name) => describe(context, name)?,
        None => list(context)?,
    }
    Ok(Exit::Done)
}

fn list(context: &Context) -> Result<(), CliError> {
    let (output, registry) = (&context.output, &context.registry);
    if output.is_json() {
        for family in Family::ALL {
            registry.descriptors(family).try_for_each(|plugin| output.json("plugin", &PluginLine::from(plugin)))?;
        }
        return registry.absent().try_for_each(|(family, name, feature)| {
            output.json("absent", &AbsentLine { family: family.section(), name, feature })
        });
    }
    for family in Family::ALL {
        let rows: Vec<Vec<String>> = registry
            .descriptors(family)
            .map(|plugin| {
                let urls: Vec<String> = plugin.schemes.iter().map(|scheme| format!("{scheme}://")).collect();
                vec![format!("  {}", plugin.tag), plugin.summary.to_owned(), urls.join(" ")]
            })
            .collect();
        if !rows.is_empty() {
            output.line(format!("{} ([{}.NAME]):", plural(family), family.section()))?;
            human::columns(&rows, &[]).iter().try_for_each(|line| output.line(line))?;
        }
    }
    let absent: Vec<&str> = registry.absent().map(|(_, name, _)| name).collect();
    if !absent.is_empty() {
        output.line(format!("not built into this program: {}", absent.join(", ")))?;
    }
    output.report("`backup backends TYPE` shows the options of one")
}

fn plural(family: Family) -> &'static str {
    match family {
        Family::Backend => "storage backends",
        Family::Source => "sources",
        Family::Retention => "retention policies",
        Family::Conflict => "conflict resolvers",
    }
}

fn describe(context: &Context, name: &str) -> Result<(), CliError> {
    let (output, registry) = (&context.output, &context.registry);
    let found: Vec<&Descriptor> =
        Family::ALL.into_iter().filter_map(|family| registry.descriptor(family, name)).collect();
    if found.is_empty() {
        let known = Family::ALL.into_iter().flat_map(|family| registry.descriptors(family)).map(|plugin| plugin.tag);
        let failed = CliError::usage(format!("there is no plug-in `{name}` in this program"));
        let absent = registry.absent().find(|(_, absent, _)| *absent == name);
        let hint = match absent {
            Some((_, _, feature)) => format!("build it in with the feature `{feature}` of backup-cli"),
            None => did_you_mean(name, known).unwrap_or_else(|| "`backup backends` lists them".to_owned()),
        };
        return Err(failed.hint(hint));
    }
    for plugin in found {
        if output.is_json() {
            output.json("plugin", &PluginLine::from(plugin))?;
            continue;
        }
        let family = plugin.family();
        output.line(format!("{}: {}, {}", plugin.tag, family.as_str(), plugin.summary))?;
        for option in plugin.options {
            output.line(format!("\n  {}  ({})", option.name, facts(option)))?;
            output.line(format!("      {}", option.help))?;
        }
        output.line(format!("\nExample:\n\n[{}.mine]\ntype = \"{}\"", family.section(), plugin.tag))?;
        output.line(plugin.example)?;
    }
    Ok(())
}

/// What may stand under an option, in words.
fn facts(option: &OptionDoc) -> String {
    let mut facts = vec![kind(option.kind)];
    facts.extend(option.unit.map(|unit| format!("in {unit}")));
    facts.extend(option.required.then(|| "required".to_owned()));
    facts.extend(option.default.map(|default| format!("default {default}")));
    facts.join(", ")
}

fn kind(kind: OptionKind) -> String {
    let word = match kind {
        OptionKind::Text => "text",
        OptionKind::Path => "path",
        OptionKind::Integer => "whole number",
        OptionKind::Bool => "true or false",
        OptionKind::Duration => "duration as `90d`",
        OptionKind::Size => "size as `16MiB`",
        OptionKind::Secret => "reference to a secret",
        OptionKind::Choice(words) => return format!("one of {}", words.join(", ")),
        OptionKind::Count => "count, or `all`",
        OptionKind::TextList => "list of texts",
        OptionKind::Nested => "table",
        _ => "value",
    };
    word.to_owned()
}

impl<'a> From<&'a Descriptor> for PluginLine<'a> {
    fn from(plugin: &'a Descriptor) -> Self {
        Self {
            family: plugin.family().section(),
            name: plugin.tag,
            summary: plugin.summary,
            schemes: plugin.schemes,
            options: plugin
                .options
                .iter()
                .map(|option| OptionLine {
                    name: option.name,
                    kind: kind(option.kind),
                    required: option.required,
                    unit: option.unit,
                    default: option.default,
                    help: option.help,
                })
                .collect(),
            example: plugin.example,
            crate_name: plugin.crate_name,
        }
    }
}
