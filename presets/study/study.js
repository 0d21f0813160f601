// SPDX-License-Identifier: GPL-3.0-or-later
// Shows pairs of films one after another, keeps the answers in localStorage, and gives them out as a JSON file.
"use strict";

const element = (id) => document.getElementById(id);
const PLACE = `nephim-study-${STUDY.study}`;
const PAUSE = 500; // [ms] between the end of the films and their next showing
const FLASH = 160; // [ms] in which the chosen film is marked before the next pair

let state = load() || begin();
let shown = null; // the pair on the screen: {left, right, ready, since, replays}

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(PLACE));
    return kept && kept.study === STUDY.study && kept.order.length === STUDY.pairs.length ? kept : null;
  } catch {
    return null;
  }
}

// Everybody gets an own order and own sides.
function begin() {
  const random = new Uint32Array(2);
  crypto.getRandomValues(random);
  const participant = Array.from(random, (n) => n.toString(16).padStart(8, "0")).join("");
  const order = STUDY.pairs.map((_, k) => ({ pair: k, swapped: Math.random() < 0.5 }));
  for (let k = order.length - 1; k > 0; k--) {
    const j = Math.floor(Math.random() * (k + 1));
    [order[k], order[j]] = [order[j], order[k]];
  }
  return { study: STUDY.study, participant, order, answers: [], at: 0, started: null };
}

function keep() {
  try {
    localStorage.setItem(PLACE, JSON.stringify(state));
  } catch {
    trouble("This browser keeps nothing of this page: do not close it before you have saved your answers.");
  }
}

function trouble(text) {
  element("trouble").textContent = text;
  element("trouble").hidden = false;
}

function show(name) {
  for (const id of ["welcome", "voting", "thanks"]) element(id).hidden = id !== name;
  element("bar").style.width = `${(100 * state.answers.length) / state.order.length}%`;
  element("bar").parentElement.setAttribute("aria-valuenow", state.answers.length);
}

const counted = (n, one, many) => `${n} ${n === 1 ? one : many}`;

function step() {
  if (state.at >= state.order.length) return finish();
  const { pair, swapped } = state.order[state.at];
  const { left, right } = STUDY.pairs[pair];
  shown = { pair, left: swapped ? right : left, right: swapped ? left : right, ready: 0, since: 0, replays: 0 };
  element("number").textContent = `${state.at + 1} of ${state.order.length}`;
  element("back").disabled = state.at === 0;
  element("save-part").disabled = state.answers.length === 0;
  element("trouble").hidden = true;
  enable(false);
  document.activeElement?.blur(); // else Space would press the button that was clicked last
  show("voting");
  for (const side of ["left", "right"]) {
    const film = element(side);
    film.parentElement.classList.remove("chosen");
    film.dataset.over = "";
    film.src = shown[side];
    film.load();
  }
}

function enable(on) {
  for (const side of ["left", "right"]) element(`choose-${side}`).disabled = !on;
}

function play() {
  for (const side of ["left", "right"]) {
    element(side).dataset.over = "";
    element(side).currentTime = 0;
    element(side).play().catch(() => {});
  }
}

function loaded(event) {
  if (!shown || event.target.dataset.for === `${state.at}`) return;
  event.target.dataset.for = `${state.at}`;
  if (++shown.ready < 2) return;
  shown.since = performance.now();
  enable(true);
  play();
}

// Both start together: the next showing waits for the slower one.
function over(event) {
  event.target.dataset.over = "1";
  if (["left", "right"].every((side) => element(side).dataset.over)) {
    const pair = shown;
    setTimeout(() => {
      if (pair === shown && !element("voting").hidden) play();
    }, PAUSE);
  }
}

function choose(side) {
  if (!shown || element(`choose-${side}`).disabled) return;
  const seconds = Math.round(performance.now() - shown.since) / 1000;
  const bare = (name) => name.split("/").pop();
  state.answers[state.at] = {
    left: bare(shown.left), right: bare(shown.right), chosen: side, seconds, replays: shown.replays,
  };
  state.at += 1;
  keep();
  enable(false);
  element(side).parentElement.classList.add("chosen");
  setTimeout(step, FLASH);
}

function back() {
  if (state.at === 0) return;
  state.at -= 1;
  state.answers.length = state.at;
  keep();
  step();
}

function again() {
  if (!shown || shown.ready < 2) return;
  shown.replays += 1;
  play();
}

function finish() {
  shown = null;
  for (const side of ["left", "right"]) element(side).pause();
  const done = state.answers.length;
  element("answered").textContent = done < state.order.length
    ? `${done} of ${counted(state.order.length, "pair", "pairs")}` : `all ${counted(done, "pair", "pairs")}`;
  show("thanks");
  element("save").focus();
}

function save() {
  const results = {
    format: "nephim-study-results 1", study: STUDY.study, participant: state.participant, started: state.started,
    saved: new Date().toISOString(), pairs: STUDY.pairs.length, answers: state.answers, key: STUDY.key,
  };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(results, null, 1)], { type: "application/json" }));
  link.download = `answers-${state.participant}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function start() {
  state.started = state.started || new Date().toISOString();
  keep();
  step();
}

for (const side of ["left", "right"]) {
  const film = element(side);
  film.addEventListener("canplaythrough", loaded);
  film.addEventListener("loadstart", () => { film.dataset.for = ""; });
  film.addEventListener("ended", over);
  film.addEventListener("click", () => choose(side));
  film.addEventListener("error", () => trouble(
    "A film cannot be played. It is H.264 in an MP4 file: use a current Chrome, Edge, Firefox or Safari, and check that the folder \"films\" lies beside this page."));
  element(`choose-${side}`).addEventListener("click", () => choose(side));
}
element("start").addEventListener("click", start);
element("back").addEventListener("click", back);
element("again").addEventListener("click", again);
element("save-part").addEventListener("click", finish);
element("save").addEventListener("click", save);
element("review").addEventListener("click", () => {
  if (state.at >= state.order.length) back(); else step();
});
element("restart").addEventListener("click", () => {
  if (!confirm("Have you saved your answers? They are removed from this browser.")) return;
  state = begin();
  keep();
  welcome();
});

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || element("voting").hidden) return;
  const act = {
    ArrowLeft: () => choose("left"), ArrowRight: () => choose("right"), Backspace: back, " ": again,
  }[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});

function welcome() {
  show("welcome");
  element("start").focus();
}

element("question").textContent = STUDY.question;
element("count").textContent = counted(STUDY.pairs.length, "pair", "pairs");
element("bar").parentElement.setAttribute("aria-valuemax", STUDY.pairs.length);
if (!state.started) welcome();
else step();
