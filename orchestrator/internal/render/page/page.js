"use strict";
// The picture of rows and kernels. Only what is in sight is in the document. All
// texts are put there as text, and come from the parts of the probes below.
(() => {
	const $ = (id) => document.getElementById(id);
	const data = JSON.parse($("data").textContent);
	const grid = $("grid"), said = $("said");
	const CHANGED = 1, OPEN = 2;
	const coarse = matchMedia("(pointer: coarse)").matches;
	const rowHeight = coarse ? 32 : 24;

	const make = (tag, classes, text) => {
		const e = document.createElement(tag);
		if (classes) e.className = classes;
		if (text !== undefined) e.textContent = text;
		return e;
	};
	const letter = (n) => {
		let name = "";
		for (; n >= 0; n = Math.floor(n / 26) - 1) name = String.fromCharCode(65 + n % 26) + name;
		return name;
	};
	const mark = (code) => code < 0 ? data.signs[-1 - code] : letter(code);
	const look = (code) => code < 0 ? data.statuses[-1 - code] : code === 0 ? "v0" : "v" + (1 + (code - 1) % 7);

	// Items are what the picture has lines for: probes, and below them rows.
	const items = [];
	for (const probe of data.probes) {
		const head = { probe: probe.name, name: probe.name };
		items.push(head);
		for (const [label, pattern, flags, between] of probe.rows) {
			const name = label ? probe.name + "/" + label : probe.name;
			items.push({ probe: probe.name, name, label: label || "the whole probe", pattern, flags, between: between || [], head });
		}
	}

	const rowCount = items.length - data.probes.length;

	// stretches are the columns that follow each other in a series and look alike.
	const stretchesOf = [];
	function stretches(pattern) {
		if (stretchesOf[pattern]) return stretchesOf[pattern];
		const starts = new Set(data.series.map((s) => s.first));
		const out = [];
		const runs = data.patterns[pattern];
		let at = 0;
		for (let i = 0; i < runs.length; i += 2) {
			for (let n = 0; n < runs[i + 1]; n++, at++) {
				const last = out[out.length - 1];
				if (n > 0 && !starts.has(at)) last.to = at;
				else out.push({ code: runs[i], from: at, to: at });
			}
		}
		return stretchesOf[pattern] = out;
	}
	const stretchAt = (item, column) => stretches(item.pattern).find((s) => s.from <= column && column <= s.to);
	const single = (item) => data.patterns[item.pattern].every((code, i, runs) => i % 2 === 1 || code === runs[0]);

	// texts of a row's values, by code.
	function texts(item) {
		if (!item.texts) {
			item.texts = {};
			for (const v of $("row=" + item.name).querySelectorAll(".v")) {
				item.texts[v.dataset.code] ??= v.querySelector("code").textContent;
			}
		}
		return item.texts;
	}

	// What is shown, and where the cursor is in it.
	let shown = [];
	let at = 0, column = 0;
	const filter = { search: $("search"), show: $("show"), family: $("family"), between: $("between") };

	// matcher of what is searched: words that must all be there, or a glob. One of
	// fewer parts than a name covers what is below, as in notes.
	function matcher(text) {
		if (/[*?]/.test(text)) {
			const parts = text.split("/").length;
			const source = text.replace(/[.+^${}()|\\[\]]/g, "\\$&").replace(/\*/g, "[^/]*").replace(/\?/g, "[^/]");
			const glob = new RegExp("^" + source + "$", "i");
			return (name) => glob.test(name.split("/").slice(0, parts).join("/"));
		}
		const words = text.toLowerCase().split(/\s+/).filter(Boolean);
		return (name) => words.every((w) => name.toLowerCase().includes(w));
	}

	function apply() {
		const here = shown[at];
		const matches = matcher(filter.search.value.trim());
		const show = Number(filter.show.value), family = filter.family.value, between = filter.between.value;
		shown = [];
		let rows = 0, head = null;
		for (const item of items) {
			if (!item.head) continue;
			if (show && !(item.flags & show)) continue;
			if (family && !item.probe.startsWith(family + "/")) continue;
			if (between !== "" && !item.between.includes(Number(between))) continue;
			if (!matches(item.name)) continue;
			if (head !== item.head) shown.push(head = item.head);
			shown.push(item);
			rows++;
		}
		$("shown").textContent = rows + " of " + rowCount + " lines";
		at = Math.max(0, shown.indexOf(here));
		if (at === 0 && shown.length > 1) at = 1;
		body.style.height = shown.length * rowHeight + "px";
		grid.setAttribute("aria-rowcount", shown.length + 2);
		grid.scrollTop = 0;
		if (here) keepInSight();
		draw();
		tell();
	}

	// The head and the body of the grid.
	const head = make("div", "head"), body = make("div", "body");
	head.setAttribute("role", "rowgroup");
	body.setAttribute("role", "rowgroup");
	body.style.position = "relative";
	grid.append(head, body);
	let nameWidth = 0, cellWidth = 0;
	const left = (c) => nameWidth + c * cellWidth;

	function layout() {
		const width = grid.clientWidth;
		nameWidth = Math.round(Math.max(120, Math.min(360, width * (width < 600 ? 0.45 : 0.3))));
		cellWidth = Math.max(coarse ? 18 : 14, Math.floor((width - nameWidth) / Math.max(1, data.columns.length)));
		const total = left(data.columns.length) + "px";
		const upright = cellWidth < 56;
		const longest = Math.max(0, ...data.columns.map((label) => label.length));
		const names = line(22, "kernels"), kernels = line(upright ? Math.min(120, 14 + 6.5 * longest) : 22, "");
		data.series.forEach((s, i) => {
			const next = i + 1 < data.series.length ? data.series[i + 1].first : data.columns.length;
			names.append(placed(make("div", "series", s.name), s.first, next - s.first));
		});
		data.columns.forEach((label, c) => {
			const k = placed(make("div", upright ? "kernel upright" : "kernel", label), c, 1);
			k.setAttribute("role", "columnheader");
			k.setAttribute("aria-colindex", c + 2);
			k.title = label;
			kernels.append(k);
		});
		names.setAttribute("aria-hidden", "true");
		kernels.setAttribute("role", "row");
		kernels.setAttribute("aria-rowindex", 1);
		head.replaceChildren(names, kernels);
		head.style.width = body.style.width = total;
		grid.setAttribute("aria-colcount", data.columns.length + 1);
	}
	function line(height, text) {
		const l = make("div", "line"), corner = make("div", "corner", text);
		l.style.height = height + "px";
		corner.style.width = nameWidth + "px";
		corner.style.lineHeight = height + "px";
		l.append(corner);
		return l;
	}
	function placed(e, c, n) {
		e.style.left = left(c) + "px";
		e.style.width = n * cellWidth + "px";
		if (e.classList.contains("kernel") || e.classList.contains("series")) e.style.height = "100%";
		return e;
	}

	// draw puts the lines in sight into the document.
	function draw() {
		if (shown.length === 0) {
			body.style.height = "auto";
			body.replaceChildren(make("p", "none", "No row is like that. Esc clears the filter."));
			grid.removeAttribute("aria-activedescendant");
			return;
		}
		const first = Math.max(0, Math.floor(grid.scrollTop / rowHeight) - 4);
		const last = Math.min(shown.length, first + Math.ceil(grid.clientHeight / rowHeight) + 8);
		const lines = [];
		for (let i = first; i < last; i++) lines.push(drawLine(shown[i], i));
		body.replaceChildren(...lines);
		for (const k of head.querySelectorAll(".kernel")) k.classList.toggle("here", k.getAttribute("aria-colindex") == column + 2);
		const active = $("active");
		if (active) grid.setAttribute("aria-activedescendant", "active");
		else grid.removeAttribute("aria-activedescendant");
	}
	function drawLine(item, i) {
		const row = make("div", "row" + (item.head ? "" : " probe-row") + (i === at ? " here" : ""));
		row.setAttribute("role", "row");
		row.setAttribute("aria-rowindex", i + 2);
		row.style.top = i * rowHeight + "px";
		row.style.height = rowHeight + "px";
		row.style.width = left(data.columns.length) + "px";
		row.dataset.at = i;
		const name = make("div", "name", item.head ? item.label : item.probe);
		name.setAttribute("role", "rowheader");
		name.title = item.name;
		name.style.width = nameWidth + "px";
		name.style.lineHeight = rowHeight - 1 + "px";
		row.append(name);
		if (!item.head) {
			if (i === at) name.id = "active";
			return row;
		}
		if (item.flags & OPEN) name.prepend(make("span", "open-mark", "? "));
		const values = texts(item), alone = single(item);
		for (const s of stretches(item.pattern)) row.append(drawStretch(s, values, alone, i));
		if (i === at) row.append(placed(make("div", "cursor"), column, 1));
		return row;
	}
	function drawStretch(s, values, alone, i) {
		const width = (s.to - s.from + 1) * cellWidth;
		const cell = make("div", "cell " + look(s.code));
		const text = values[s.code] ?? "";
		cell.setAttribute("role", "gridcell");
		cell.setAttribute("aria-colindex", s.from + 2);
		if (s.to > s.from) cell.setAttribute("aria-colspan", s.to - s.from + 1);
		cell.title = text;
		cell.style.left = left(s.from) + "px";
		cell.style.width = width - 1 + "px";
		cell.style.lineHeight = rowHeight - 3 + "px";
		if (!alone || s.code < 0) cell.append(make("b", "", mark(s.code)));
		if (width >= 64) cell.append(" " + text);
		else cell.classList.add("narrow");
		if (i === at && s.from <= column && column <= s.to) {
			cell.id = "active";
			cell.setAttribute("aria-label", data.columns[column] + ": " + (alone && s.code >= 0 ? "" : mark(s.code) + " ") + text);
		}
		return cell;
	}

	// tell says in words what the cursor is on.
	function tell() {
		const item = shown[at];
		if (!item) {
			said.replaceChildren();
			return;
		}
		const link = make("a", "", item.name);
		link.href = "#" + (item.head ? "row=" : "probe=") + item.name;
		const first = make("p");
		first.append(link);
		const lines = [first];
		if (item.head) {
			const s = stretchAt(item, column), second = make("p");
			second.append(make("b", "", data.columns[column]), " ", make("b", "s " + look(s.code), mark(s.code)), " ", make("code", "", texts(item)[s.code] ?? ""));
			lines.push(second);
			for (const why of $("row=" + item.name).querySelectorAll(".why")) lines.push(why.cloneNode(true));
		} else {
			lines.push(make("p", "q", $("probe=" + item.probe).querySelector(".q").textContent));
		}
		said.replaceChildren(...lines);
	}

	function keepInSight() {
		const top = at * rowHeight, room = grid.clientHeight - head.offsetHeight;
		if (top < grid.scrollTop + rowHeight) grid.scrollTop = Math.max(0, top - rowHeight);
		else if (top + rowHeight > grid.scrollTop + room) grid.scrollTop = top + rowHeight - room + 4;
		const x = column * cellWidth, wide = grid.clientWidth - nameWidth;
		if (x < grid.scrollLeft) grid.scrollLeft = x;
		else if (x + cellWidth > grid.scrollLeft + wide) grid.scrollLeft = x + cellWidth - wide;
	}
	function move(rows, columns) {
		at = Math.max(0, Math.min(shown.length - 1, at + rows));
		column = Math.max(0, Math.min(data.columns.length - 1, column + columns));
		keepInSight();
		draw();
		tell();
	}
	function clear() {
		filter.search.value = filter.family.value = filter.between.value = "";
		apply();
	}
	let opened = false; // whether the picture led to a part
	const open = (item) => { opened = true; location.hash = (item.head ? "row=" : "probe=") + item.name; };

	grid.addEventListener("keydown", (e) => {
		if (e.altKey || e.metaKey || shown.length === 0) return;
		const page = Math.max(1, Math.floor(grid.clientHeight / rowHeight) - 4), all = shown.length + data.columns.length;
		const acts = {
			ArrowUp: () => move(-1, 0), ArrowDown: () => move(1, 0), ArrowLeft: () => move(0, -1), ArrowRight: () => move(0, 1),
			PageUp: () => move(-page, 0), PageDown: () => move(page, 0),
			Home: () => e.ctrlKey ? move(-all, 0) : move(0, -all), End: () => e.ctrlKey ? move(all, 0) : move(0, all),
			Enter: () => open(shown[at]),
		};
		if (!Object.hasOwn(acts, e.key)) return;
		e.preventDefault();
		acts[e.key]();
	});
	document.addEventListener("keydown", (e) => {
		if (e.ctrlKey || e.altKey || e.metaKey) return;
		if (e.key === "/" && !e.target.closest("input, select")) {
			e.preventDefault();
			filter.search.focus();
			filter.search.select();
		} else if (e.key === "Escape") {
			clear();
		} else if (e.key === "Enter" && e.target === filter.search) {
			e.preventDefault();
			grid.focus();
		}
	});
	body.addEventListener("click", (e) => {
		const row = e.target.closest(".row");
		if (!row) return;
		at = Number(row.dataset.at);
		const x = e.clientX - body.getBoundingClientRect().left - nameWidth;
		if (!e.target.closest(".name") && x >= 0) column = Math.min(data.columns.length - 1, Math.floor(x / cellWidth));
		move(0, 0);
	});
	body.addEventListener("dblclick", () => open(shown[at]));

	let waiting = false;
	const later = (f) => {
		if (waiting) return;
		waiting = true;
		requestAnimationFrame(() => { waiting = false; f(); });
	};
	grid.addEventListener("scroll", () => later(draw));
	new ResizeObserver(() => later(() => { layout(); draw(); })).observe(grid);
	$("filter").addEventListener("input", apply);
	$("filter").addEventListener("submit", (e) => e.preventDefault());
	$("clear").addEventListener("click", clear);
	for (const a of document.querySelectorAll("[data-between]")) {
		a.addEventListener("click", () => {
			filter.between.value = a.dataset.between;
			if (!items.some((i) => i.head && i.flags & filter.show.value && i.between.includes(Number(a.dataset.between)))) filter.show.value = CHANGED;
			apply();
		});
	}

	// reveal opens what the address names, and moves the focus there.
	function reveal() {
		let name = location.hash.slice(1);
		try { name = decodeURIComponent(name); } catch { return; }
		if (!name && opened) grid.focus({ preventScroll: true }); // back from a row
		const e = /^(row|probe|family)=/.test(name) && $(name);
		if (!e) return;
		for (let d = e.closest("details"); d; d = d.parentElement.closest("details")) d.open = true;
		const focus = e.matches("details") ? e.querySelector("summary") : e;
		if (focus.tabIndex < 0) focus.tabIndex = -1;
		focus.focus({ preventScroll: true });
		e.scrollIntoView({ block: e.matches("details") ? "start" : "center" });
	}
	addEventListener("hashchange", reveal);
	$("probes").addEventListener("click", (e) => {
		const th = e.target.closest(".rows th[scope=row]");
		if (th) location.hash = th.parentElement.id;
	});

	// The theme: that of the system, or one of the two.
	const themes = ["auto", "light", "dark"], theme = $("theme");
	const stored = { get() { try { return localStorage.getItem("ctmatrix-theme"); } catch { return null; } },
		set(v) { try { localStorage.setItem("ctmatrix-theme", v); } catch { /* a page may have no storage */ } } };
	function dress(name) {
		document.documentElement.dataset.theme = name;
		theme.textContent = "theme: " + name;
	}
	dress(themes.includes(stored.get()) ? stored.get() : "auto");
	theme.addEventListener("click", () => {
		const next = themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length];
		dress(next);
		stored.set(next);
	});
	theme.hidden = false;

	// Begin.
	for (const f of new Set(data.probes.map((p) => p.name.split("/")[0]))) filter.family.append(new Option(f, f));
	data.boundaries.forEach((b, i) => filter.between.append(new Option(b, i)));
	filter.between.closest("label").hidden = data.boundaries.length === 0;
	const legend = $("legend");
	[0, 1, 2, 3, -1, -2, -3, -4, -5, -6].forEach((code) => {
		legend.append(make("b", "s " + look(code), mark(code)), " " + (code < 0 ? data.statuses[-1 - code] : code === 3 ? "… values" : "") + " ");
	});
	if (!items.some((i) => i.flags & CHANGED)) filter.show.value = "0";
	$("stage").hidden = false;
	layout();
	apply();
	reveal();
})();
