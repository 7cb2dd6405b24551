"use strict";
// The words of the page, and the switch between its languages.
const data = JSON.parse(document.getElementById("data").textContent);
const attributes = ["title", "label", "aria-label", "placeholder", "data-title"];
const page = document.documentElement;

/** A text of the catalogue with its gaps filled; figures may be texts of the catalogue again. */
function say(code, figures = {}) {
  return data.words[page.lang][code].replace(/\{(\w+)\}/g, (_, name) => said(figures[name]));
}

/** Plain text, or code and figures of a text. */
const said = (entry) => (typeof entry === "object" ? say(entry.code, entry.figures) : String(entry));

/** A name that the catalogue may know. */
const named = (section, name) => (`${section}.${name}` in data.words[page.lang] ? say(`${section}.${name}`) : name);

const written = (number) => data.texts[number][data.languages.indexOf(page.lang)];

/** Everything that stands in the page in another language; charts and panels are drawn anew. */
function speak(language) {
  page.lang = language;
  for (const place of document.querySelectorAll("[data-t]")) place.textContent = written(place.dataset.t);
  for (const name of attributes) {
    for (const place of document.querySelectorAll(`[data-t-${name}]`)) {
      place.setAttribute(name, written(place.getAttribute(`data-t-${name}`)));
    }
  }
  document.title = document.querySelector("title").dataset.title;
}
