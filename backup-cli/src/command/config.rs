//! `backup config`: checks, shows and describes the configuration.

use backup_core::config::schema;
use serde::Serialize;

use crate::args::ConfigCommand;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;

#[derive(Serialize)]
struct Summary {
    repositories: Vec<String>,
    sources: Vec<String>,
    retention: Vec<String>,
    conflicts: Vec<String>,
}

#[derive(Serialize)]
struct SettingLine {
    key: String,
    value: serde_json::Value,
    origin: String,
}

#[derive(Serialize)]
struct ShownSummary {
    settings: usize,
}

#[derive(Serialize)]
struct SchemaLine {
    document: serde_json::Value,
}

pub(crate) fn run(context: &Context, command: &ConfigCommand) -> Result<Exit, CliError> {
    match command {
        ConfigCommand::Validate => validate(context),
        ConfigCommand::Show => show(context),
        ConfigCommand::Schema => describe(context),
    }?;
    Ok(Exit::Done)
}

fn validate(context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    let names = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>();
    let summary = Summary {
        repositories: names(config.repositories.keys().collect()),
        sources: names(config.sources.keys().collect()),
        retention: names(config.retention.keys().collect()),
        conflicts: names(config.conflicts.keys().collect()),
    };
    let output = &context.output;
    output.json("summary", &summary)?;
    output.report("the configuration is valid")?;
    for (what, names) in [
        ("repositories", &summary.repositories),
        ("sources", &summary.sources),
        ("retention policies", &summary.retention),
        ("conflict resolvers", &summary.conflicts),
    ] {
        if !names.is_empty() {
            output.report(format!("   {what}: {}", names.join(", ")))?;
        }
    }
    Ok(())
}

fn show(context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    let output = &context.output;
    if output.is_json() {
        let settings = config.settings();
        let summary = ShownSummary { settings: settings.len() };
        settings.into_iter().try_for_each(|setting| {
            let line =
                SettingLine { key: setting.key.join("."), value: setting.value, origin: setting.origin.to_string() };
            output.json("setting", &line)
        })?;
        return output.json("summary", &summary);
    }
    let text = config.to_toml();
    if text.is_empty() {
        output.say("nothing is set");
    }
    output.bytes(text.as_bytes())
}

fn describe(context: &Context) -> Result<(), CliError> {
    let document = schema(&context.registry);
    if context.output.is_json() {
        return context.output.json("config_schema", &SchemaLine { document });
    }
    context.output.line(format!("{document:#}"))
}
