//! The standard policies by name in a configuration.

use super::units::{ByteSize, Count, ZoneName};
use super::{
    AllOf, AnyOf, ByCategory, CategoryRule, Gfs, KeepForever, KeepLast, KeepPinned, KeepTags, KeepWithin, MaxAge,
    MaxTotalSize, Rolling,
};
use crate::registry::{Descriptor, InvalidConfig, OptionDoc, OptionKind, RetentionConfig};

const NOT_ZERO: &str = "must be at least 1; zero would set no rule";

fn nonzero(option: &str, count: Count) -> Result<(), InvalidConfig> {
    if count == Count::Exactly(0) { Err(InvalidConfig::at(option, NOT_ZERO)) } else { Ok(()) }
}

#[typetag::serde(name = "keep_last")]
impl RetentionConfig for KeepLast {
    fn validate(&self) -> Result<(), InvalidConfig> {
        nonzero("count", self.count)
    }
}

#[typetag::serde(name = "keep_within")]
impl RetentionConfig for KeepWithin {
    fn validate(&self) -> Result<(), InvalidConfig> {
        Ok(())
    }
}

#[typetag::serde(name = "max_age")]
impl RetentionConfig for MaxAge {
    fn validate(&self) -> Result<(), InvalidConfig> {
        Ok(())
    }
}

#[typetag::serde(name = "max_total_size")]
impl RetentionConfig for MaxTotalSize {
    fn validate(&self) -> Result<(), InvalidConfig> {
        if self.limit == ByteSize(0) { Err(InvalidConfig::at("limit", NOT_ZERO)) } else { Ok(()) }
    }
}

#[typetag::serde(name = "gfs")]
impl RetentionConfig for Gfs {
    fn validate(&self) -> Result<(), InvalidConfig> {
        let counts = [
            ("last", self.last),
            ("hourly", self.hourly),
            ("daily", self.daily),
            ("weekly", self.weekly),
            ("monthly", self.monthly),
            ("quarterly", self.quarterly),
            ("yearly", self.yearly),
        ];
        for (option, count) in counts {
            nonzero(option, count.unwrap_or(Count::All))?;
        }
        if self.has_rules() {
            return Ok(());
        }
        Err(InvalidConfig::whole("none of last, hourly, daily, weekly, monthly, quarterly and yearly is set"))
    }

    fn adopt_time_zone(&mut self, zone: &ZoneName) {
        self.time_zone.get_or_insert_with(|| zone.clone());
    }
}

#[typetag::serde(name = "rolling")]
impl RetentionConfig for Rolling {
    fn validate(&self) -> Result<(), InvalidConfig> {
        if self.interval_secs().is_none() {
            return Err(InvalidConfig::at("interval", "must be at least a second, without months and years"));
        }
        nonzero("count", self.count)
    }
}

#[typetag::serde(name = "keep_tags")]
impl RetentionConfig for KeepTags {
    fn validate(&self) -> Result<(), InvalidConfig> {
        if self.tags.is_empty() { Err(InvalidConfig::at("tags", "is empty")) } else { Ok(()) }
    }
}

#[typetag::serde(name = "keep_pinned")]
impl RetentionConfig for KeepPinned {
    fn validate(&self) -> Result<(), InvalidConfig> {
        Ok(())
    }
}

#[typetag::serde(name = "forever")]
impl RetentionConfig for KeepForever {
    fn validate(&self) -> Result<(), InvalidConfig> {
        Ok(())
    }
}

#[typetag::serde(name = "by_category")]
impl RetentionConfig for ByCategory {
    fn validate(&self) -> Result<(), InvalidConfig> {
        let named = self.categories.iter().map(|(name, rule)| (format!("categories.{name}"), rule));
        for (option, rule) in named.chain(std::iter::once(("default".to_owned(), &self.default))) {
            if let CategoryRule::Policy(policy) = rule {
                policy.validate().map_err(|error| within(&option, error))?;
            }
        }
        Ok(())
    }

    fn adopt_time_zone(&mut self, zone: &ZoneName) {
        for rule in self.categories.values_mut().chain(std::iter::once(&mut self.default)) {
            if let CategoryRule::Policy(policy) = rule {
                policy.adopt_time_zone(zone);
            }
        }
    }
}

#[typetag::serde(name = "any_of")]
impl RetentionConfig for AnyOf {
    fn validate(&self) -> Result<(), InvalidConfig> {
        all_valid(&self.policies)
    }

    fn adopt_time_zone(&mut self, zone: &ZoneName) {
        for policy in &mut self.policies {
            policy.adopt_time_zone(zone);
        }
    }
}

#[typetag::serde(name = "all_of")]
impl RetentionConfig for AllOf {
    fn validate(&self) -> Result<(), InvalidConfig> {
        all_valid(&self.policies)
    }

    fn adopt_time_zone(&mut self, zone: &ZoneName) {
        for policy in &mut self.policies {
            policy.adopt_time_zone(zone);
        }
    }
}

fn all_valid(policies: &[Box<dyn RetentionConfig>]) -> Result<(), InvalidConfig> {
    if policies.is_empty() {
        return Err(InvalidConfig::at("policies", "is empty"));
    }
    for (index, policy) in policies.iter().enumerate() {
        policy.validate().map_err(|error| within(&format!("policies.{index}"), error))?;
    }
    Ok(())
}

fn within(outer: &str, error: InvalidConfig) -> InvalidConfig {
    let option = crate::registry::problem::join(outer, error.option.as_deref().unwrap_or_default());
    InvalidConfig { option: Some(option), message: error.message }
}

const CRATE: &str = env!("CARGO_PKG_NAME");

const SCOPE: OptionDoc = OptionDoc::optional(
    "scope",
    OptionKind::Choice(&["group", "repository"]),
    "Whether each group is counted for itself or the repository as a whole.",
)
.default("group");

const POLICIES: OptionDoc =
    OptionDoc::required("policies", OptionKind::Nested, "The policies, a list of tables with `type`.");

const fn per(name: &'static str, help: &'static str) -> OptionDoc {
    OptionDoc::optional(name, OptionKind::Count, help)
}

pub(crate) const DESCRIPTORS: &[Descriptor] = &[
    Descriptor::retention::<KeepLast>("keep_last", CRATE)
        .summary("keeps the newest so many")
        .options(&[OptionDoc::required("count", OptionKind::Count, "How many are kept."), SCOPE])
        .example("count = 10"),
    Descriptor::retention::<KeepWithin>("keep_within", CRATE)
        .summary("keeps those of a length of time before the newest")
        .options(&[OptionDoc::required("duration", OptionKind::Duration, "How long before the newest.")])
        .example("duration = \"30d\""),
    Descriptor::retention::<Gfs>("gfs", CRATE)
        .summary("keeps the newest of each hour, day, week, month, quarter and year, so many of each")
        .options(&[
            per("last", "How many of the newest are kept besides."),
            per("hourly", "For how many hours the newest is kept."),
            per("daily", "For how many days the newest is kept."),
            per("weekly", "For how many weeks the newest is kept."),
            per("monthly", "For how many months the newest is kept."),
            per("quarterly", "For how many quarters the newest is kept."),
            per("yearly", "For how many years the newest is kept."),
            OptionDoc::optional("time_zone", OptionKind::Text, "The time zone of the calendar, by its IANA name.")
                .default("the one of [defaults], or UTC"),
        ])
        .example("last = 3\ndaily = 7\nweekly = 4\nmonthly = 12\nyearly = \"all\"\ntime_zone = \"Europe/Berlin\""),
    Descriptor::retention::<Rolling>("rolling", CRATE)
        .summary("keeps the newest of each stretch of time, so many stretches")
        .options(&[
            OptionDoc::required("interval", OptionKind::Duration, "How long a stretch is."),
            OptionDoc::required("count", OptionKind::Count, "For how many stretches the newest is kept."),
        ])
        .example("interval = \"5min\"\ncount = 10"),
    Descriptor::retention::<MaxAge>("max_age", CRATE)
        .summary("forgets what was received longer ago")
        .options(&[OptionDoc::required("duration", OptionKind::Duration, "How long they are kept.")])
        .example("duration = \"90d\""),
    Descriptor::retention::<MaxTotalSize>("max_total_size", CRATE)
        .summary("keeps the newest that fit into a size together")
        .options(&[
            OptionDoc::required("limit", OptionKind::Size, "What they may add to the repository together.")
                .unit("bytes"),
            SCOPE,
        ])
        .example("limit = \"500MB\"\nscope = \"repository\""),
    Descriptor::retention::<ByCategory>("by_category", CRATE)
        .summary("has a rule for each category of snapshots")
        .options(&[
            OptionDoc::optional(
                "categories",
                OptionKind::Nested,
                "For each category `forever`, a length of time, or a table with a policy.",
            ),
            OptionDoc::optional("default", OptionKind::Nested, "The same for all other snapshots.").default("forever"),
        ])
        .example(
            "default = \"90d\"\n[categories]\nmanual = \"forever\"\ndraft = \"7d\"\non_close = { type = \"keep_last\", count = 5 }",
        ),
    Descriptor::retention::<KeepTags>("keep_tags", CRATE)
        .summary("keeps those with one of the tags")
        .options(&[OptionDoc::required("tags", OptionKind::TextList, "The tags.")])
        .example("tags = [\"release\"]"),
    Descriptor::retention::<KeepPinned>("keep_pinned", CRATE).summary("keeps pinned ones"),
    Descriptor::retention::<KeepForever>("forever", CRATE).summary("keeps everything"),
    Descriptor::retention::<AnyOf>("any_of", CRATE)
        .summary("keeps what any of its policies keeps")
        .options(&[POLICIES])
        .example("policies = [{ type = \"keep_last\", count = 3 }, { type = \"gfs\", daily = 7 }]"),
    Descriptor::retention::<AllOf>("all_of", CRATE)
        .summary("keeps what all of its policies keep")
        .options(&[POLICIES])
        .example("policies = [{ type = \"keep_last\", count = 100 }, { type = \"max_age\", duration = \"1y\" }]"),
];
