//! Evaluates an expression, step by step, each paid for before it is taken. The depth is the expression's own, which
//! is bounded when it is compiled.

use super::operators::binary;
use super::tree::{Constant, Kind, Loop, Node, Pattern, Variable};
use super::value::{List, Map, Text, Value};
use super::{Failure, Meter, Scope, functions};

/// An evaluation on its way.
struct Evaluation<'a, 'm> {
    scope: &'a Scope<'a>,
    meter: &'m mut Meter,
    /// The variables of the loops around, outermost first.
    locals: Vec<Value<'a>>,
}

/// Whether an expression holds.
pub(super) fn truth(root: &Node, scope: &Scope<'_>, meter: &mut Meter) -> Result<bool, Failure> {
    Evaluation { scope, meter, locals: Vec::new() }.truth(root)
}

impl<'a> Evaluation<'a, '_> {
    fn truth(&mut self, node: &'a Node) -> Result<bool, Failure> {
        let value = self.value(node)?;
        let Value::Bool(truth) = value else {
            return Err(Failure::wrong(format!("it gives {}, where a truth value is needed", value.kind())));
        };
        Ok(truth)
    }

    fn value(&mut self, node: &'a Node) -> Result<Value<'a>, Failure> {
        self.meter.spend(1)?;
        match node {
            Node::Constant(constant) => Ok(written(constant)),
            Node::Variable(variable) => Ok(self.variable(*variable)),
            Node::Local(depth) => {
                self.locals.get(*depth).cloned().ok_or_else(|| Failure::wrong("a variable has no value"))
            }
            Node::Written(items) => Ok(Value::List(List::Json(items))),
            Node::List(items) => {
                Ok(Value::list(items.iter().map(|item| self.value(item)).collect::<Result<Vec<_>, _>>()?))
            }
            Node::Map(entries) => {
                let entry = |(key, node): &'a (String, Node)| Ok((Text::Borrowed(key), self.value(node)?));
                Ok(Value::map(entries.iter().map(entry).collect::<Result<Vec<_>, _>>()?))
            }
            Node::Select(node, name) => {
                let value = self.value(node)?;
                value.member(name).ok_or_else(|| missing(&value, name))
            }
            Node::Has(node, name) => {
                let value = self.value(node)?;
                let Value::Map(map) = &value else { return Err(missing(&value, name)) };
                Ok(Value::Bool(map.get(name).is_some()))
            }
            Node::Index(node, index) => {
                let (value, index) = (self.value(node)?, self.value(index)?);
                item(&value, &index)
            }
            Node::Not(node) => Ok(Value::Bool(!self.truth(node)?)),
            Node::Negate(node) => negated(&self.value(node)?),
            Node::All(all) => self.joined(all, false),
            Node::Any(all) => self.joined(all, true),
            Node::Choose(condition, yes, no) => {
                let chosen = if self.truth(condition)? { yes } else { no };
                self.value(chosen)
            }
            Node::Binary(operator, one, other) => {
                let (one, other) = (self.value(one)?, self.value(other)?);
                binary(*operator, &one, &other, self.meter)
            }
            Node::Call(function, arguments) => {
                let arguments = arguments.iter().map(|node| self.value(node)).collect::<Result<Vec<_>, _>>()?;
                functions::call(*function, &arguments, self.meter)
            }
            Node::Matches(node, pattern) => self.matches(node, pattern),
            Node::Loop(each) => self.each(each),
        }
    }

    fn variable(&self, variable: Variable) -> Value<'a> {
        match variable {
            Variable::Predicate => Value::of(self.scope.predicate),
            Variable::Statement => Value::of(self.scope.statement),
            Variable::Image => Value::of(self.scope.image),
            Variable::Now => Value::Time(self.scope.now),
        }
    }

    /// Any side may decide alone: then an error of another does not matter (CEL's logical operators). What costs too much
    /// is never set aside.
    fn joined(&mut self, all: &'a [Node], decisive: bool) -> Result<Value<'a>, Failure> {
        let mut outcome = Ok(Value::Bool(!decisive));
        for node in all {
            match self.truth(node) {
                Ok(truth) if truth == decisive => return Ok(Value::Bool(decisive)),
                Ok(_) => {}
                Err(Failure::Costly) => return Err(Failure::Costly),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    fn matches(&mut self, node: &'a Node, pattern: &Pattern) -> Result<Value<'a>, Failure> {
        let value = self.value(node)?;
        let Value::Text(text) = &value else {
            return Err(Failure::wrong(format!("`matches` asks for a text, not {}", value.kind())));
        };
        self.meter.spend(text.as_str().len().saturating_mul(pattern.cost))?;
        Ok(Value::Bool(pattern.regex.is_match(text.as_str())))
    }

    fn each(&mut self, each: &'a Loop) -> Result<Value<'a>, Failure> {
        let range = self.value(&each.range)?;
        let items = if let Value::List(list) = range {
            list
        } else if let Value::Map(map) = range {
            self.meter.spend(map.len())?;
            List::Made(map.keys().into_iter().map(Value::Text).collect())
        } else {
            return Err(Failure::wrong(format!("there is nothing to go through in {}", range.kind())));
        };
        match each.kind {
            Kind::All => self.until(each, &items, false),
            Kind::Exists => self.until(each, &items, true),
            Kind::ExistsOne => Ok(Value::Bool(self.chosen(each, &items)?.len() == 1)),
            Kind::Filter => Ok(Value::list(self.chosen(each, &items)?)),
            Kind::Map => self.mapped(each, &items),
        }
    }

    /// With a variable of its own for one item.
    fn with<T>(&mut self, item: Value<'a>, act: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        self.meter.spend(1)?;
        self.locals.push(item);
        let outcome = act(self);
        self.locals.pop();
        outcome
    }

    /// `all` and `exists`: one item may decide, whatever error another one gives.
    fn until(&mut self, each: &'a Loop, items: &List<'a>, decisive: bool) -> Result<Value<'a>, Failure> {
        let mut outcome = Ok(Value::Bool(!decisive));
        for item in items.iter() {
            match self.with(item, |inner| inner.truth(&each.body)) {
                Ok(truth) if truth == decisive => return Ok(Value::Bool(decisive)),
                Ok(_) => {}
                Err(Failure::Costly) => return Err(Failure::Costly),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    fn chosen(&mut self, each: &'a Loop, items: &List<'a>) -> Result<Vec<Value<'a>>, Failure> {
        let mut chosen = Vec::new();
        for item in items.iter() {
            if self.with(item.clone(), |inner| inner.truth(&each.body))? {
                chosen.push(item);
            }
        }
        Ok(chosen)
    }

    fn mapped(&mut self, each: &'a Loop, items: &List<'a>) -> Result<Value<'a>, Failure> {
        let mut mapped = Vec::new();
        for item in items.iter() {
            let value = self.with(item, |inner| match &each.filter {
                Some(filter) if !inner.truth(filter)? => Ok(None),
                Some(_) | None => inner.value(&each.body).map(Some),
            })?;
            mapped.extend(value);
        }
        Ok(Value::list(mapped))
    }
}

fn written(constant: &Constant) -> Value<'_> {
    match constant {
        Constant::Null => Value::Null,
        Constant::Bool(truth) => Value::Bool(*truth),
        Constant::Int(number) => Value::Int(*number),
        Constant::Uint(number) => Value::Uint(*number),
        Constant::Double(number) => Value::Double(*number),
        Constant::Text(text) => Value::Text(Text::Borrowed(text)),
        Constant::Time(time) => Value::Time(*time),
    }
}

fn missing(value: &Value<'_>, name: &str) -> Failure {
    Failure::wrong(format!("there is no `{name}` in {}", value.kind()))
}

fn item<'a>(value: &Value<'a>, index: &Value<'a>) -> Result<Value<'a>, Failure> {
    let found = match (value, index) {
        (Value::List(list), Value::Int(index)) => usize::try_from(*index).ok().and_then(|index| list.get(index)),
        (Value::List(list), Value::Uint(index)) => usize::try_from(*index).ok().and_then(|index| list.get(index)),
        (Value::Map(map), Value::Text(name)) => Map::get(map, name.as_str()),
        _ => return Err(Failure::wrong(format!("{} has no items by {}", value.kind(), index.kind()))),
    };
    found.ok_or_else(|| Failure::wrong(format!("{} has no such item", value.kind())))
}

fn negated<'a>(value: &Value<'a>) -> Result<Value<'a>, Failure> {
    if let Value::Double(number) = value {
        return Ok(Value::Double(-number));
    }
    let Value::Int(number) = value else { return Err(Failure::wrong(format!("{} has no negative", value.kind()))) };
    number.checked_neg().map(Value::Int).ok_or_else(|| Failure::wrong("a number overflows"))
}
