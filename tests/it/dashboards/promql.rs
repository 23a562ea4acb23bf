//! As much of PromQL as dashboards use: which series a query asks for, and which labels it speaks of.

use std::collections::BTreeSet;

const FUNCTIONS: [&str; 10] = [
    "absent",
    "avg_over_time",
    "changes",
    "histogram_quantile",
    "increase",
    "rate",
    "time",
    "clamp_max",
    "label_values",
    "vector",
];
const AGGREGATIONS: [&str; 6] = ["sum", "min", "max", "avg", "topk", "count"];
const MATCHING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const WORDS: [&str; 4] = ["and", "or", "unless", "bool"];

/// What a query asks for.
#[derive(Debug, Default)]
pub struct Query {
    pub selectors: Vec<Selector>,
    /// Labels in `by (…)` and its like.
    pub labels: BTreeSet<String>,
}

/// `metric{label="value"}`
#[derive(Debug, PartialEq)]
pub struct Selector {
    pub metric: String,
    pub matchers: Vec<Matcher>,
}

impl Selector {
    /// The selector as it is written.
    pub fn text(&self) -> String {
        let matchers =
            self.matchers.iter().map(|Matcher { label, operator, value }| format!("{label}{operator}{value:?}"));
        format!("{}{{{}}}", self.metric, matchers.collect::<Vec<_>>().join(","))
    }
}

#[derive(Debug, PartialEq)]
pub struct Matcher {
    pub label: String,
    pub operator: String,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Number(String),
    Text(String),
    Sign(String),
}

/// Reads a query, or says why it is none.
pub fn parse(text: &str) -> Result<Query, String> {
    let tokens = tokens(text)?;
    let mut query = Query::default();
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            Token::Word(word) if MATCHING.contains(&word.as_str()) => {
                let (labels, next) = names(&tokens, at)?;
                query.labels.extend(labels);
                at = next;
            }
            Token::Word(word) if WORDS.contains(&word.as_str()) => {}
            Token::Word(word) => match tokens.get(at) {
                Some(next) if is_sign(next, "(") || AGGREGATIONS.contains(&word.as_str()) => {
                    if !FUNCTIONS.contains(&word.as_str()) && !AGGREGATIONS.contains(&word.as_str()) {
                        return Err(format!("`{word}` is no function that is known here"));
                    }
                }
                Some(next) if is_sign(next, "{") => {
                    let (matchers, next) = matchers(&tokens, at + 1)?;
                    query.selectors.push(Selector { metric: word.clone(), matchers });
                    at = next;
                }
                Some(_) | None => query.selectors.push(Selector { metric: word.clone(), matchers: Vec::new() }),
            },
            Token::Sign(sign) if sign == "(" || sign == "[" => open.push(sign.clone()),
            Token::Sign(sign) if sign == ")" || sign == "]" => {
                let wanted = if sign == ")" { "(" } else { "[" };
                if open.pop().as_deref() != Some(wanted) {
                    return Err(format!("`{sign}` closes nothing"));
                }
            }
            Token::Sign(sign) if sign == "{" || sign == "}" => return Err(format!("`{sign}` stands alone")),
            Token::Number(_) | Token::Text(_) | Token::Sign(_) => {}
        }
    }
    if open.is_empty() && !query.selectors.is_empty() {
        Ok(query)
    } else {
        Err("it does not end, or asks for nothing".to_owned())
    }
}

fn is_sign(token: &Token, wanted: &str) -> bool {
    matches!(token, Token::Sign(sign) if sign == wanted)
}

/// `(a, b)`: the names, and where it ends.
fn names(tokens: &[Token], mut at: usize) -> Result<(Vec<String>, usize), String> {
    let mut names = Vec::new();
    if !tokens.get(at).is_some_and(|token| is_sign(token, "(")) {
        return Err("labels stand in parentheses".to_owned());
    }
    loop {
        at += 1;
        match tokens.get(at) {
            Some(Token::Word(name)) => names.push(name.clone()),
            Some(token) if is_sign(token, ",") => {}
            Some(token) if is_sign(token, ")") => return Ok((names, at + 1)),
            other => return Err(format!("{other:?} is no label")),
        }
    }
}

/// `label="value", …}`: the matchers, and where they end.
fn matchers(tokens: &[Token], mut at: usize) -> Result<(Vec<Matcher>, usize), String> {
    let mut matchers = Vec::new();
    loop {
        match tokens.get(at..).unwrap_or_default() {
            [end, ..] if is_sign(end, "}") => return Ok((matchers, at + 1)),
            [comma, ..] if is_sign(comma, ",") => at += 1,
            [Token::Word(label), Token::Sign(operator), Token::Text(value), ..]
                if ["=", "!=", "=~", "!~"].contains(&operator.as_str()) =>
            {
                matchers.push(Matcher { label: label.clone(), operator: operator.clone(), value: value.clone() });
                at += 3;
            }
            other => return Err(format!("{:?} is no matcher", other.first())),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let length = run(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
                tokens.push(Token::Word(rest[..length].to_owned()));
                length
            }
            '0'..='9' => {
                let length = run(rest, |c| c.is_ascii_alphanumeric() || c == '.');
                tokens.push(Token::Number(rest[..length].to_owned()));
                length
            }
            '"' => {
                let end = rest[1..].find('"').ok_or("a text does not end")?;
                tokens.push(Token::Text(rest[1..=end].to_owned()));
                end + 2
            }
            _ => {
                let signs = [
                    "=~", "!~", "!=", "==", ">=", "<=", "(", ")", "{", "}", "[", "]", ",", "=", "+", "-", "*", "/",
                    ">", "<",
                ];
                let sign =
                    signs.iter().find(|sign| rest.starts_with(**sign)).ok_or(format!("`{first}` is unexpected"))?;
                tokens.push(Token::Sign((*sign).to_owned()));
                sign.len()
            }
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

#[test]
fn a_query_tells_its_series_and_labels() {
    let query =
        parse(r#"histogram_quantile(0.9, sum by (le, gate) (rate(a_bucket{job=~".*", x!="y"}[5m]))) / on (job) b > 3"#)
            .unwrap();
    let metrics: Vec<&str> = query.selectors.iter().map(|selector| selector.metric.as_str()).collect();
    assert_eq!(metrics, ["a_bucket", "b"]);
    assert_eq!(query.selectors[0].matchers[1], Matcher { label: "x".into(), operator: "!=".into(), value: "y".into() });
    assert_eq!(query.labels.iter().map(String::as_str).collect::<Vec<_>>(), ["gate", "job", "le"]);
}

#[test]
fn what_is_no_query_is_told() {
    for text in ["", "sum(a", "a)", "rates(a[5m])", "a{x=y}", "sum by gate (a)", "a{x=\"y\"", "1 + 2", "a § b"] {
        assert!(parse(text).is_err(), "{text}");
    }
}
