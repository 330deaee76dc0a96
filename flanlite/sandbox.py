"""Templates of Jinja from strangers: a sandbox that ends what loops, or grows, without end.

Nothing interrupts a template from outside, so that it is the same in any thread. Each turn of a loop, each
call, filter, sum and output is counted where it happens (loops and `~` by a change of the parsed template),
and what multiplies texts is asked beforehand how long its result would be.
"""

import contextlib
import contextvars
import functools
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
from jinja2 import meta, nodes, sandbox, visitor

SECONDS = 10.0
SIZE = 1 << 20  # characters and items of one value, beside a multiple of the variables'
TIMES_VARIABLES = 16
TIMES_SIZE = 16  # what all values of a template have together
LARGEST = 1 << 64  # number
# Methods and filters whose result may be longer than all that they are given, together.
MULTIPLIES = (
    'batch',
    'center',
    'expandtabs',
    'format',
    'format_map',
    'indent',
    'join',
    'ljust',
    'replace',
    'rjust',
    'slice',
    'to_bytes',
    'translate',
    'wordwrap',
    'zfill',
)
FORMATS = ('%', 'format', 'format_map')
WIDTH = re.compile(r'[%:.][-+ #<>^=,]*(\d{4,})')


class TemplateFault(ValueError):
    """A template that does not parse, cannot be filled, or is over a limit."""


class Budget:
    """What is left to a template that is being filled.

    Args:
        variables: what it is filled with.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self.size = SIZE + TIMES_VARIABLES * size_of(variables, SIZE * TIMES_SIZE)
        self.left = TIMES_SIZE * self.size
        self.deadline = time.monotonic() + SECONDS

    def check(self, *values: Any) -> int:
        """Return the size of values together; refuse it where it is over the limit."""
        if time.monotonic() > self.deadline:
            raise TemplateFault(f'it takes longer than {SECONDS:g} seconds')
        size = sum(size_of(each, self.size) for each in values)
        if size > self.size:
            raise TemplateFault(f'it makes a value of more than {self.size:,} characters')
        return size

    def spend(self, size: int) -> None:
        """Count what is made."""
        self.left -= 1 + size
        if self.left < 0:
            raise TemplateFault(f'it makes more than {TIMES_SIZE * self.size:,} characters in all')

    def made(self, value: Any) -> Any:
        """Count a value that was made, and return it."""
        self.check(value)
        self.spend(len(value) if hasattr(value, '__len__') else 1)
        return value


BUDGET: contextvars.ContextVar[Budget] = contextvars.ContextVar('BUDGET')


@contextlib.contextmanager
def budget(variables: Mapping[str, Any]) -> Iterator[Budget]:
    """Limit what is done with a template, and make one kind of error of all that it raises."""
    token = BUDGET.set(Budget(variables))
    try:
        yield BUDGET.get()
    except TemplateFault:
        raise
    except (RecursionError, MemoryError) as error:
        raise TemplateFault('it is nested too deep, or too large') from error
    except Exception as error:  # a template may raise anything
        raise TemplateFault(f'{type(error).__name__}: {error}'.replace('\n', ' ')) from error
    finally:
        BUDGET.reset(token)


def size_of(value: Any, most: int) -> int:
    """Count the characters and items of a value, at any depth, each as often as it is there; stop at more
    than `most`.
    """
    if isinstance(value, str):  # quicker
        return 1 + len(value)
    size, waiting = 0, [value]
    while waiting and size <= most:
        each = waiting.pop()
        size += 1
        if isinstance(each, str | bytes):
            size += len(each)
        elif isinstance(each, Mapping):
            size += len(each)
            waiting += [*each.keys(), *each.values()] if len(each) <= most else ()
        elif isinstance(each, list | tuple | set | frozenset):
            size += len(each)
            waiting += each if len(each) <= most else ()
    return size


def multiplied(name: str, values: Sequence[Any]) -> int:
    """Bound the length of what a method, filter or operator makes.

    Args:
        name: what it is called.
        values: the text or list, and what else it is given.
    """
    first, *rest = values
    if isinstance(first, int):
        first, rest = 'x', values
    if name == '%':
        rest = rest[0] if isinstance(rest[0], tuple) else rest
    numbers = [abs(each) for each in rest if isinstance(each, int) and not isinstance(each, bool)]
    if name in FORMATS:
        text = first if isinstance(first, str) else ''
        nested = numbers if '*' in text or ':{' in text else []
        numbers = [*nested, *(int(found[:20]) for found in WIDTH.findall(text))]
    others = sum(size_of(each, SIZE) for each in rest if not isinstance(each, int))
    return size_of(first, SIZE) * max(1, others) * max(1, *numbers, 1)


def check_call(name: str, values: Sequence[Any]) -> None:
    """Refuse a call of a method or filter by what it is given."""
    BUDGET.get().check(*values)
    if name in MULTIPLIES and multiplied(name, values) > TIMES_SIZE * BUDGET.get().size:
        raise TemplateFault(f'{name} makes a value that is too long')


def limited(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Count what a filter is given and makes."""

    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        passed = [*args, *named.values()]
        if getattr(function, 'jinja_pass_arg', None) is not None:  # the environment, or a context
            passed = passed[1:]
        check_call(name, passed)
        return BUDGET.get().made(function(*args, **named))

    return call


class Counted(visitor.NodeTransformer):
    """Lets a parsed template count the turns of its loops, and join texts by a filter."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        """Begin a loop's body with a tick."""
        node = self.generic_visit(node)
        length = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        tick = nodes.Call(nodes.EnvironmentAttribute('tick'), [nodes.Const(length)], [], None, None)
        node.body.insert(0, nodes.ExprStmt(tick).set_lineno(node.lineno))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        """Replace `a ~ b`."""
        node = self.generic_visit(node)
        return nodes.Filter(nodes.List(node.nodes), 'concat', [], [], None, None).set_lineno(node.lineno)


class Limited(sandbox.SandboxedEnvironment):
    """A sandbox with limits; `compiled` and `filled` take the place of `from_string` and `render`."""

    intercepted_binops = frozenset(['+', '*', '**', '%'])

    def __init__(self, **options: Any) -> None:
        super().__init__(optimized=False, finalize=self.finalized, **options)
        self.globals.pop('lipsum')
        self.add_filters({'concat': lambda parts: ''.join(map(str, parts))} | self.filters)

    def add_filters(self, filters: Mapping[str, Callable[..., Any]]) -> None:
        """Add filters, whose work then counts."""
        self.filters |= {name: limited(name, function) for name, function in filters.items()}

    def tick(self, length: int) -> None:
        """Count a turn of a loop."""
        BUDGET.get().check()
        BUDGET.get().spend(length)

    def finalized(self, value: Any) -> Any:
        """Count what is put out."""
        return BUDGET.get().made(value)

    def call(self, context: Any, called: Any, /, *args: Any, **named: Any) -> Any:
        """Call what a template calls."""
        of = getattr(called, '__self__', getattr(called, 'of', None))
        check_call(getattr(called, '__name__', ''), [of, *args, *named.values()])
        return BUDGET.get().made(super().call(context, called, *args, **named))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Wrap a text's method `format`, and keep the text: `call` asks how long its result may be."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            wrapped.of = value.__self__
        return wrapped

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute `left operator right`."""
        BUDGET.get().check(left, right)
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == '**' and (not numbers or abs(right) > 64 or abs(left) > LARGEST):
            raise TemplateFault('it raises to a power above 64')
        if (
            operator in '*%'
            and not numbers
            and multiplied(operator, [left, right]) > TIMES_SIZE * BUDGET.get().size
        ):
            raise TemplateFault('it makes a value that is too long')
        made = super().call_binop(context, operator, left, right)
        if isinstance(made, int) and abs(made) > LARGEST**64:
            raise TemplateFault('it makes a number that is too large')
        return BUDGET.get().made(made)

    def compiled(self, source: str) -> jinja2.Template:
        """Compile a template.

        Raises:
            TemplateFault: it does not parse.
        """
        with budget({'': source}):
            return self.from_string(Counted().visit(self.parse(source)))

    def columns(self, source: str) -> set[str]:
        """Return the names of the variables that a template reads; see `compiled`."""
        with budget({'': source}):
            return meta.find_undeclared_variables(self.parse(source)) - self.globals.keys()

    def filled(self, template: jinja2.Template, variables: Mapping[str, Any]) -> str:
        """Fill a template.

        Raises:
            TemplateFault: it cannot be filled with these variables, or is over a limit.
        """
        with budget(variables) as left:
            parts = []
            for part in template.generate(variables):
                left.spend(len(part))
                parts.append(part)
            return ''.join(parts)


class LimitedImmutable(Limited, sandbox.ImmutableSandboxedEnvironment):
    """The same, where a template cannot change its variables."""
