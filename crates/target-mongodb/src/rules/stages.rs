//! Which stages a pipeline may have, and what stands inside of them.
//!
//! Source: "Aggregation Stages" in MongoDB's manual,
//! <https://www.mongodb.com/docs/manual/reference/operator/aggregation-pipeline/>.

use bson::{Bson, Document};
use domain::review::Refusal;

use super::look::{Look, refusal};
use super::names::collection;

/// What the rules look at inside of a stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Expressions only.
    Reads,
    /// Reads another collection: the field with its name, and perhaps a pipeline.
    Joins(&'static str),
    Facets,
    Union,
    Merges,
    Outputs,
}

const STAGES: &[(&str, Stage)] = &[
    ("$addFields", Stage::Reads),
    ("$bucket", Stage::Reads),
    ("$bucketAuto", Stage::Reads),
    ("$count", Stage::Reads),
    ("$densify", Stage::Reads),
    ("$documents", Stage::Reads),
    ("$facet", Stage::Facets),
    ("$fill", Stage::Reads),
    ("$geoNear", Stage::Reads),
    ("$graphLookup", Stage::Joins("from")),
    ("$group", Stage::Reads),
    ("$limit", Stage::Reads),
    ("$lookup", Stage::Joins("from")),
    ("$match", Stage::Reads),
    ("$merge", Stage::Merges),
    ("$out", Stage::Outputs),
    ("$project", Stage::Reads),
    ("$redact", Stage::Reads),
    ("$replaceRoot", Stage::Reads),
    ("$replaceWith", Stage::Reads),
    ("$sample", Stage::Reads),
    ("$search", Stage::Reads),
    ("$searchMeta", Stage::Reads),
    ("$set", Stage::Reads),
    ("$setWindowFields", Stage::Reads),
    ("$skip", Stage::Reads),
    ("$sort", Stage::Reads),
    ("$sortByCount", Stage::Reads),
    ("$unionWith", Stage::Union),
    ("$unset", Stage::Reads),
    ("$unwind", Stage::Reads),
    ("$vectorSearch", Stage::Reads),
];

/// Names of stages stand inside of pipelines, which are looked at by themselves.
pub(super) fn is_stage(name: &str) -> bool {
    STAGES.iter().any(|(known, _)| *known == name)
}

impl Look<'_> {
    /// Looks at a pipeline and at the pipelines inside of it. Only an outermost one may write.
    pub(super) fn pipeline(&mut self, stages: &Bson, may_write: bool) -> Result<(), Refusal> {
        self.deeper(|look| {
            let Bson::Array(stages) = stages else {
                return Err(refusal("bad_command", "A pipeline is an array of stages."));
            };
            stages.iter().try_for_each(|stage| look.stage(stage, may_write))
        })
    }

    fn stage(&mut self, stage: &Bson, may_write: bool) -> Result<(), Refusal> {
        let Some((name, body)) =
            stage.as_document().filter(|stage| stage.len() == 1).and_then(|s| s.iter().next())
        else {
            let message = "A stage of a pipeline is a document with one field, the name of the stage.";
            return Err(refusal("bad_command", message));
        };
        let Some((_, kind)) = STAGES.iter().find(|(known, _)| known == name) else {
            return Err(unknown(name));
        };
        self.expression(body)?;
        match kind {
            Stage::Reads => Ok(()),
            Stage::Joins(from) => self.joins(body, from),
            Stage::Facets => {
                let facets = body.as_document().into_iter().flatten();
                facets.map(|(_, pipeline)| pipeline).try_for_each(|pipeline| self.pipeline(pipeline, false))
            }
            Stage::Union => match body {
                Bson::Document(_) => self.joins(body, "coll"),
                name => collection(name),
            },
            Stage::Merges | Stage::Outputs if !may_write => {
                let message = format!("{name} writes, which is possible only at the end of an aggregation.");
                Err(refusal("stage_not_allowed", message))
            }
            Stage::Merges => self.merges(body),
            Stage::Outputs => {
                self.writes_alone(name, "replaces the whole collection that it names");
                self.destination(body)
            }
        }
    }

    /// `$lookup`, `$graphLookup`, `$unionWith`: another collection, and a pipeline over it.
    fn joins(&mut self, body: &Bson, from: &str) -> Result<(), Refusal> {
        let Bson::Document(body) = body else { return Ok(()) };
        if let Some(Bson::Document(other)) = body.get(from) {
            self.elsewhere(other)?;
        } else if let Some(name) = body.get(from) {
            collection(name)?;
        }
        // `$unionWith` can name a database beside the collection.
        if let Some(database) = body.get("db") {
            self.database(database)?;
        }
        body.get("pipeline").map_or(Ok(()), |pipeline| self.pipeline(pipeline, false))
    }

    fn merges(&mut self, body: &Bson) -> Result<(), Refusal> {
        self.writes_alone("$merge", "writes into the collection that it names, not as a whole");
        let Bson::Document(document) = body else { return self.destination(body) };
        if let Some(into) = document.get("into") {
            self.destination(into)?;
        }
        match document.get("whenMatched") {
            Some(pipeline @ Bson::Array(_)) => self.pipeline(pipeline, false),
            _ => Ok(()),
        }
    }

    /// A collection to write to: its name, or `{db, coll}`.
    fn destination(&mut self, into: &Bson) -> Result<(), Refusal> {
        match into {
            Bson::Document(other) => self.elsewhere(other),
            name => collection(name),
        }
    }

    fn elsewhere(&mut self, other: &Document) -> Result<(), Refusal> {
        if let Some(database) = other.get("db") {
            self.database(database)?;
        }
        other.get("coll").map_or(Ok(()), collection)
    }
}

fn unknown(name: &str) -> Refusal {
    let reason = match name {
        "$changeStream" | "$changeStreamSplitLargeEvent" => "it waits for what comes and never ends",
        "$currentOp"
        | "$listLocalSessions"
        | "$listSessions"
        | "$planCacheStats"
        | "$queryStats"
        | "$shardedDataDistribution"
        | "$querySettings" => "it shows what others do on the server",
        "$collStats" | "$indexStats" => "it tells where the server is; the command collStats tells sizes",
        _ => {
            let message = format!(
                "{} is not among the stages that the portal runs. There are: {}.",
                super::look::named(name),
                STAGES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
            );
            return refusal("stage_not_allowed", message);
        }
    };
    refusal("stage_not_allowed", format!("The stage {name} does not run here: {reason}."))
}
