//! Latencies as a picture: lines over an axis, with a logarithmic scale of milliseconds.

use super::report::{Report, Step};
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 60.0;
const COLOURS: [&str; 6] = ["#1b6ca8", "#2e8b57", "#c8861a", "#b3323c", "#6b4fa0", "#555555"];

/// A line: its name, and points with both coordinates between 0 and 1, or above if they are beyond the axes.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// An axis: marks on it, each with its place between 0 and 1, and what it says.
struct Axis {
    title: String,
    marks: Vec<(f64, String)>,
}

/// Powers of ten from below the least to above the most.
struct Decades {
    first: i32,
    last: i32,
}

impl Decades {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min).clamp(1e-3, 1e9);
        let most = values.fold(0.0, f64::max).clamp(least, 1e9);
        let (first, last) = (least.log10().floor() as i32, most.log10().ceil() as i32);
        Self { first, last: last.max(first + 1) }
    }

    fn place(&self, value: f64) -> f64 {
        (value.max(1e-3).log10() - f64::from(self.first)) / f64::from(self.last - self.first)
    }

    fn axis(&self, title: &str) -> Axis {
        let marks = (self.first..=self.last).map(|power| {
            let value = 10_f64.powi(power);
            (self.place(value), format!("{value}"))
        });
        Axis { title: title.to_owned(), marks: marks.collect() }
    }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// Against the load if there are several rates, else against the percentile.
pub fn draw(report: &Report) -> String {
    let rates: Vec<(f64, &Step)> = report.steps.iter().filter_map(|step| Some((step.offered_per_second?, step))).collect();
    let title = format!(
        "{} nodes, {} clients, {} bytes, {}",
        report.nodes,
        report.clients,
        report.value_bytes,
        match report.fsync {
            Some(true) => "durable",
            Some(false) => "without fsync",
            None => "given nodes",
        }
    );
    if rates.len() > 1 { against_load(&title, &rates) } else { against_percentile(&title, &report.steps) }
}

fn against_load(title: &str, rates: &[(f64, &Step)]) -> String {
    let of = |step: &Step| [step.latency_us.p999, step.latency_us.p99, step.latency_us.p90, step.latency_us.p50].map(millis);
    let values = rates.iter().flat_map(|(_, step)| of(step));
    let scale = Decades::of(values);
    let most = rates.iter().map(|(rate, _)| *rate).fold(1.0, f64::max);
    let lines = ["p99.9", "p99", "p90", "p50"].iter().enumerate().map(|(index, name)| Line {
        name: (*name).to_owned(),
        points: rates.iter().map(|(rate, step)| (rate / most, scale.place(of(step)[index]))).collect(),
    });
    let marks = rates.iter().map(|(rate, _)| (rate / most, format!("{rate:.0}"))).collect();
    chart(title, &Axis { title: "requests per second, offered".to_owned(), marks }, &scale.axis("ms"), &lines.collect::<Vec<_>>())
}

/// As many nines as a line's end has room for.
const NINES: f64 = 4.0;

fn against_percentile(title: &str, steps: &[Step]) -> String {
    let points = steps.iter().flat_map(|step| step.latency_us.curve.iter()).map(|(_, latency)| millis(*latency));
    let scale = Decades::of(points);
    let place = |percentile: f64| (-(1.0 - percentile / 100.0).max(1e-9).log10() / NINES).min(1.0);
    let lines = steps.iter().map(|step| Line {
        name: step.offered_per_second.map_or("closed loop".to_owned(), |rate| format!("{rate:.0} requests/s")),
        points: step.latency_us.curve.iter().map(|(percentile, latency)| (place(*percentile), scale.place(millis(*latency)))).collect(),
    });
    let marks = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99].map(|percentile| (place(percentile), format!("{percentile} %"))).to_vec();
    chart(title, &Axis { title: "of requests".to_owned(), marks }, &scale.axis("ms"), &lines.collect::<Vec<_>>())
}

fn chart(title: &str, across: &Axis, up: &Axis, lines: &[Line]) -> String {
    let x = |place: f64| LEFT + place * (WIDTH - LEFT - RIGHT);
    let y = |place: f64| HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{title}</text>\n"
    );
    // Writing to a string can't fail.
    for (place, text) in &across.marks {
        let _ = writeln!(svg, "<path d=\"M{0:.1} {1:.1}V{2:.1}\" stroke=\"#ddd\"/>", x(*place), y(0.0), y(1.0));
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>", x(*place), y(0.0) + 18.0);
    }
    for (place, text) in &up.marks {
        let _ = writeln!(svg, "<path d=\"M{:.1} {:.1}H{:.1}\" stroke=\"#ddd\"/>", x(0.0), y(*place), x(1.0));
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", x(0.0) - 8.0, y(*place) + 4.0);
    }
    let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>", x(0.5), HEIGHT - 16.0, across.title);
    let _ = writeln!(svg, "<text x=\"20\" y=\"{:.1}\">{}</text>", y(0.5), up.title);
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let points: Vec<String> = line.points.iter().map(|(across, up)| format!("{:.1},{:.1}", x(*across), y(*up))).collect();
        let _ = writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", points.join(" "));
        for (across, up) in &line.points {
            let _ = writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\" fill=\"{colour}\"/>", x(*across), y(*up));
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            x(0.0) + 10.0,
            TOP + 14.0 + 16.0 * index as f64,
            line.name
        );
    }
    svg.push_str("</svg>\n");
    svg
}
