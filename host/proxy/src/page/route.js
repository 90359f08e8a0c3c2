// Why a statement goes where it goes.

import { empty, h, panel } from './parts.js';
import { explain } from './proxy.js';

export class Route {
  id = 'route';
  title = 'Why there?';
  tables = [];

  constructor() {
    this.sql = h('textarea', { id: 'sql', rows: 5, spellcheck: 'false', placeholder: 'SELECT …', required: true });
    this.user = h('input', { id: 'user', placeholder: 'postgres', autocomplete: 'off' });
    this.database = h('input', { id: 'database', placeholder: 'as the user', autocomplete: 'off' });
    this.answer = h('div', { role: 'status' }, empty('The policies are asked as they are now. Nothing runs, and nothing is remembered.'));
    const ask = (event) => {
      event.preventDefault();
      this.ask();
    };
    const keys = (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) this.ask();
    };
    const field = (label, input) => h('label', { for: input.id }, label, input);
    this.element = panel('Why does a statement go where it goes?',
      h('form', { class: 'route', onsubmit: ask, onkeydown: keys }, field('Statement', this.sql),
        h('div', { class: 'tools' }, field('User', this.user), field('Database', this.database),
          h('button', { type: 'submit', class: 'primary' }, 'Explain'))),
      this.answer);
  }

  show() {}

  async ask() {
    if (this.sql.value.trim() === '') return;
    try {
      const steps = await explain(this.sql.value, this.user.value, this.database.value);
      this.answer.replaceChildren(h('ol', { class: 'steps' }, steps.map(({ step, what }) => h('li', {}, h('b', {}, step), h('span', {}, what)))));
    } catch (error) {
      this.answer.replaceChildren(h('p', { class: 'wrong' }, error.message));
    }
  }
}
