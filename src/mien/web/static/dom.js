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

// Radio buttons of one name are one stop of the Tab key; arrows move within.
export function radio(group, id, act) {
  const input = make("input");
  Object.assign(input, { type: "radio", name: group, id });
  input.addEventListener("change", () => act(input));
  return input;
}
