// What a reader may do with a page: sort and filter its tables, and choose among the questions of a data set.
// Without it, or with no script at all, the page has all its content.
'use strict';

const DASHES = new Set(['', '–', '-']);

function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

function labelled(text, control) {
  return make('label', {}, text + ' ', control);
}

// ---- Tables

// A cell's number where it begins with one: '79.8 ± 1.2', '-3.0 to 4', '1,200 × 8', '0.7e-3'; null where there is nothing.
function key(row, column) {
  const text = row.cells[column]?.textContent.trim() ?? '';
  if (DASHES.has(text)) return null;
  const found = text.replaceAll(',', '').match(/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?/i);
  return found ? Number(found[0]) : text.toLowerCase();
}

// Numbers before texts; what is not there stands last in either direction.
function compare(one, other, direction) {
  if (one === null || other === null) return (one === null) - (other === null);
  if (typeof one !== typeof other) return typeof one === 'number' ? -1 : 1;
  const order = typeof one === 'number' ? one - other : one.localeCompare(other, undefined, { numeric: true });
  return direction * order;
}

function rowsOf(body) {
  return [...body.rows].filter((row) => !row.querySelector('.shared'));
}

// Rows are sorted within what they share, and these groups by their first rows.
function sort(table, column, direction) {
  const byKey = (one, other) => compare(key(one, column), key(other, column), direction);
  const bodies = [...table.tBodies];
  for (const body of bodies) rowsOf(body).sort(byKey).forEach((row) => body.append(row));
  const first = new Map(bodies.map((body) => [body, rowsOf(body)[0]]));
  bodies.filter((body) => first.get(body)).sort((a, b) => byKey(first.get(a), first.get(b))).forEach((body) => table.append(body));
}

function sortable(table, status) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const name = heading.textContent.trim();
    const button = make('button', { type: 'button', class: 'sort' }, ...heading.childNodes);
    heading.append(button);
    button.addEventListener('click', () => {
      const descending = heading.getAttribute('aria-sort') === 'ascending';
      headings.forEach((each) => each.removeAttribute('aria-sort'));
      heading.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
      sort(table, column, descending ? -1 : 1);
      status.textContent = `sorted by ${name}, ${descending ? 'descending' : 'ascending'}`;
    });
  });
}

function filterable(table, status) {
  const rows = [...table.tBodies].flatMap((body) => {
    const shared = body.querySelector('.shared')?.textContent ?? '';
    return rowsOf(body).map((row) => [row, `${shared} ${row.textContent}`.toLowerCase()]);
  });
  const search = make('input', { type: 'search', placeholder: 'words', size: 14 });
  search.addEventListener('input', () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const [row, text] of rows) row.hidden = !words.every((word) => text.includes(word));
    for (const body of table.tBodies) body.hidden = rowsOf(body).every((row) => row.hidden);
    const shown = rows.filter(([row]) => !row.hidden).length;
    status.textContent = words.length ? `${shown} of ${rows.length} rows` : '';
  });
  return labelled('Rows with', search);
}

const FEW = 6; // rows that need no filter

function tools(table) {
  if (!table.tHead || !table.tBodies.length) return;
  const status = make('span', { role: 'status', class: 'status' });
  const rows = [...table.tBodies].flatMap(rowsOf).length;
  if (rows > 1) sortable(table, status);
  if (rows > FEW) table.closest('.wide').before(make('div', { class: 'tools', role: 'group', 'aria-label': table.caption.textContent.trim() }, filterable(table, status)));
  table.caption.append(' ', status);
}

// ---- Questions

function select(choices) {
  return make('select', {}, ...choices.map(([value, text]) => make('option', { value }, text)));
}

function holds(question, system, wanted) {
  const right = question.dataset.right.split(' ').filter(Boolean);
  const wrong = question.dataset.wrong.split(' ').filter(Boolean);
  if (wanted === 'differ') return right.length > 0 && wrong.length > 0;
  const all = wanted === 'right' ? right : wrong;
  return !wanted || (system ? all.includes(system) : all.length > 0);
}

function choosable(block) {
  const questions = [...block.querySelectorAll('.question')];
  const systems = JSON.parse(block.dataset.systems);
  const templates = [...new Set(questions.map((each) => each.dataset.template))].sort((a, b) => a - b);
  const system = select([...(systems.length > 1 ? [['', 'any system']] : []), ...systems.map((name, place) => [`s${place}`, name])]);
  const wanted = select([['', 'right or wrong'], ['right', 'right'], ['wrong', 'wrong'],
    ...(systems.length > 1 ? [['differ', 'right of some systems only']] : [])]);
  const template = select([['', 'all'], ...templates.map((each) => [each, each])]);
  const search = make('input', { type: 'search', placeholder: 'words', size: 14 });
  const status = make('span', { role: 'status', class: 'status' });
  const open = make('button', { type: 'button' }, 'Open all');
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const each of questions) {
      const text = each.textContent.toLowerCase();
      each.hidden = !(holds(each, system.value, wanted.value) && (!template.value || each.dataset.template === template.value)
        && words.every((word) => text.includes(word)));
      shown += !each.hidden;
    }
    status.textContent = `${shown} of ${questions.length} questions`;
  };
  for (const control of [system, wanted, template]) control.addEventListener('change', show);
  search.addEventListener('input', show);
  open.addEventListener('click', () => {
    const opening = questions.some((each) => !each.hidden && !each.open);
    questions.filter((each) => !each.hidden).forEach((each) => { each.open = opening; });
    open.textContent = opening ? 'Close all' : 'Open all';
  });
  block.prepend(make('div', { class: 'tools', role: 'group', 'aria-label': 'Which questions are shown' },
    labelled('Answers of', system), labelled('that are', wanted), labelled('Template', template), labelled('With', search), open, status));
}

// ---- Links into what is folded

function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = target; at; at = at.parentElement) if (at.tagName === 'DETAILS') at.open = true;
  if (target) target.scrollIntoView();
}

document.querySelectorAll('.wide > table').forEach(tools);
document.querySelectorAll('.asked').forEach(choosable);
addEventListener('hashchange', reveal);
reveal();
