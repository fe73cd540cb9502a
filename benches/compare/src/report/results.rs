//! What was measured, medians over rounds and ratios within a round.

use serde_json::{Value, json};

use crate::measure::quantile;
use crate::who::Who;
use crate::workloads::{self, Metric, Row, Rule};

/// What one process measures.
#[derive(Clone, Copy)]
pub struct Point {
    /// The row.
    pub row: &'static Row,
    /// The column.
    pub who: Who,
    /// Number of workers.
    pub workers: usize,
    /// Size factor.
    pub size: f64,
}

/// One number of one process.
struct Measured {
    /// What was measured.
    point: Point,
    /// In which round.
    round: usize,
    /// Per cent of the machine that others used meanwhile.
    others: f64,
    /// Name of the metric.
    metric: String,
    /// Its value.
    value: f64,
}

/// All that was measured.
#[derive(Default)]
pub struct Results(Vec<Measured>);

/// A line of the table: a row with workers and size, without a column.
#[derive(Clone, Copy, PartialEq)]
pub struct Place {
    /// Id of the row.
    pub row: &'static str,
    /// Number of workers.
    pub workers: usize,
    /// Size factor.
    pub size: f64,
}

/// How ours did against a rule.
pub struct Verdict {
    /// Median over rounds of what the rule bounds: a ratio, or the value itself.
    pub value: f64,
    /// Whether it is within the bound; nothing where nothing is asked.
    pub met: Option<bool>,
}

impl Results {
    /// Takes in the metrics that a process printed.
    pub fn add(&mut self, point: Point, round: usize, others: f64, metrics: &Value) {
        for (metric, value) in metrics.as_object().into_iter().flatten() {
            let value = value.as_f64().expect("metrics are numbers");
            self.0.push(Measured { point, round, others, metric: metric.clone(), value });
        }
    }

    /// Median and maximum of what others used meanwhile.
    pub fn others(&self) -> Value {
        let mut all: Vec<f64> = self.0.iter().map(|measured| measured.others).collect();
        if all.is_empty() {
            return Value::Null;
        }
        json!({ "median": quantile(&mut all, 0.5), "most": quantile(&mut all, 1.0) })
    }

    /// Everything, one object per number.
    pub fn to_json(&self) -> Value {
        let one = |measured: &Measured| {
            json!({
                "workload": measured.point.row.id,
                "who": measured.point.who.name(),
                "workers": measured.point.workers,
                "size_factor": measured.point.size,
                "round": measured.round,
                "others_pct": measured.others,
                "metric": measured.metric,
                "value": measured.value,
            })
        };
        self.0.iter().map(one).collect()
    }

    /// The inverse of [`Results::to_json`]; rows that are no more are left out.
    pub fn from_json(measurements: &Value) -> Result<Self, String> {
        let list = measurements.as_array().ok_or("no measurements in the file")?;
        let mut results = Self::default();
        for one in list {
            results.0.extend(measured_from_json(one));
        }
        Ok(results)
    }

    /// Whether there is anything of this column.
    pub fn has(&self, who: Who) -> bool {
        self.0.iter().any(|measured| measured.point.who == who)
    }

    /// Places of a row for which there are results, in the order of measuring.
    pub fn places(&self, row: &Row) -> Vec<Place> {
        let mut places = Vec::new();
        for Measured { point, .. } in self.0.iter().filter(|one| one.point.row.id == row.id) {
            let place = Place { row: point.row.id, workers: point.workers, size: point.size };
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    fn rounds(&self) -> usize {
        self.0.iter().map(|measured| measured.round + 1).max().unwrap_or(0)
    }

    fn values(&self, place: Place, who: Who, metric: &str) -> impl Iterator<Item = (usize, f64)> {
        self.0.iter().filter_map(move |measured| {
            let at = &measured.point;
            let here = (at.row.id, at.workers, at.size) == (place.row, place.workers, place.size);
            let wanted = here && at.who == who && measured.metric == metric;
            wanted.then_some((measured.round, measured.value))
        })
    }

    fn in_round(&self, place: Place, who: Who, metric: &str, round: usize) -> Option<f64> {
        self.values(place, who, metric).find(|(at, _)| *at == round).map(|(_, value)| value)
    }

    /// Median over rounds.
    pub fn median(&self, place: Place, who: Who, metric: &str) -> Option<f64> {
        median(self.values(place, who, metric).map(|(_, value)| value))
    }

    fn best_peer(&self, place: Place, metric: &str, round: usize) -> Option<f64> {
        let peers = Who::ALL.into_iter().filter(|who| who.is_peer());
        let values = peers.filter_map(|who| self.in_round(place, who, metric, round));
        values.min_by(f64::total_cmp)
    }

    /// How ours did; nothing where ours, or what it is held against, was not measured.
    pub fn verdict(&self, place: Place, metric: &Metric) -> Option<Verdict> {
        let value = median((0..self.rounds()).filter_map(|round| self.bounded(place, metric, round)))?;
        let met = match metric.rule {
            Rule::BestPeer(bound) | Rule::Floor(bound) | Rule::AtMost(bound) | Rule::OtherRow(bound, _) => {
                Some(value <= bound)
            }
            // A per cent of room for the clocks.
            Rule::AtLeastFloor => Some(value >= 0.99),
            Rule::Shown => None,
        };
        Some(Verdict { value, met })
    }

    /// What the rule bounds, in one round.
    fn bounded(&self, place: Place, metric: &Metric, round: usize) -> Option<f64> {
        let name = metric.name;
        let ours = self.in_round(place, Who::Ours, name, round)?;
        let against = match metric.rule {
            Rule::AtMost(_) => 1.0,
            Rule::BestPeer(_) | Rule::Shown => self.best_peer(place, name, round)?,
            Rule::Floor(_) | Rule::AtLeastFloor => self.in_round(place, Who::Floor, name, round)?,
            Rule::OtherRow(_, row) => self.in_round(Place { row, ..place }, Who::Ours, name, round)?,
        };
        Some(ours / against)
    }
}

fn measured_from_json(one: &Value) -> Option<Measured> {
    let id = one["workload"].as_str()?;
    let point = Point {
        row: workloads::all().find(|row| row.id == id)?,
        who: Who::parse(one["who"].as_str()?)?,
        workers: one["workers"].as_u64()? as usize,
        size: one["size_factor"].as_f64()?,
    };
    let metric = one["metric"].as_str()?.to_owned();
    let (round, value) = (one["round"].as_u64()? as usize, one["value"].as_f64()?);
    let others = one["others_pct"].as_f64()?;
    Some(Measured { point, round, others, metric, value })
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.collect();
    (!values.is_empty()).then(|| quantile(&mut values, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(rounds: &[&[(Who, f64)]]) -> (Results, Place) {
        let row = workloads::all().next().expect("there are rows");
        let mut results = Results::default();
        for (round, values) in rounds.iter().enumerate() {
            for (who, value) in *values {
                let point = Point { row, who: *who, workers: 2, size: 1.0 };
                results.add(point, round, 0.0, &json!({ "wall_ns": value }));
            }
        }
        let place = Place { row: row.id, workers: 2, size: 1.0 };
        (results, place)
    }

    fn verdict(rule: Rule, rounds: &[&[(Who, f64)]]) -> Option<(f64, Option<bool>)> {
        let (results, place) = results(rounds);
        let metric = Metric { name: "wall_ns", rule };
        results.verdict(place, &metric).map(|verdict| (verdict.value, verdict.met))
    }

    #[test]
    fn best_peer_is_found_in_each_round_and_the_floor_is_none() {
        let rounds: [&[_]; 3] = [
            &[(Who::Ours, 50.0), (Who::Tokio, 100.0), (Who::Executor, 200.0), (Who::Floor, 1.0)],
            &[(Who::Ours, 60.0), (Who::Tokio, 400.0), (Who::Executor, 100.0), (Who::Floor, 1.0)],
            &[(Who::Ours, 90.0), (Who::Tokio, 100.0), (Who::Executor, 100.0), (Who::Floor, 1.0)],
        ];
        assert_eq!(verdict(Rule::BestPeer(0.6), &rounds), Some((0.6, Some(true))));
        assert_eq!(verdict(Rule::BestPeer(0.5), &rounds), Some((0.6, Some(false))));
        assert_eq!(verdict(Rule::Shown, &rounds), Some((0.6, None)));
        assert_eq!(verdict(Rule::AtMost(55.0), &rounds), Some((60.0, Some(false))));
        assert_eq!(verdict(Rule::Floor(60.0), &rounds), Some((60.0, Some(true))));
        assert_eq!(verdict(Rule::AtLeastFloor, &rounds), Some((60.0, Some(true))));
    }

    #[test]
    fn without_ours_there_is_no_verdict() {
        assert_eq!(verdict(Rule::BestPeer(0.6), &[&[(Who::Tokio, 1.0)]]), None);
    }

    #[test]
    fn json_gives_back_what_it_got() {
        let (results, place) = results(&[&[(Who::Tokio, 1.5)], &[(Who::Tokio, 2.5)]]);
        let back = Results::from_json(&results.to_json()).expect("it is a list");
        assert_eq!(back.values(place, Who::Tokio, "wall_ns").collect::<Vec<_>>(), [(0, 1.5), (1, 2.5)]);
    }
}
