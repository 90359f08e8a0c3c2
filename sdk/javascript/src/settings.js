import * as settings from 'howdah:policy/settings@0.1.0';

export const setting = (name) => settings.get(name)?.val;
