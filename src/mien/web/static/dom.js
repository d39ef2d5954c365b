// Elements, made in one line each.

export const $ = (id) => document.getElementById(id);

export function make(tag, content, name) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...[content ?? []].flat());
  return element;
}

export function button(text, act) {
  const element = make("button", text);
  element.type = "button";
  element.addEventListener("click", () => act(element));
  return element;
}

// A radio button with a label of any content. Radio buttons of one name are one stop of the Tab key; arrows move within.
export function choice(group, id, content, chosen, act) {
  const input = make("input"), label = make("label", content);
  Object.assign(input, { type: "radio", name: group, id, checked: chosen });
  label.htmlFor = id;
  input.addEventListener("change", () => act(input));
  return [input, label];
}
