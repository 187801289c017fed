import "../design/tokens.css";
import "../design/base.css";
import "../design/controls.css";
import { mount } from "svelte";
import App from "../App.svelte";
import { fakeFromAddress } from "../platform/fake/address";
import Gallery from "./Gallery.svelte";

const platform = fakeFromAddress();
if (platform) mount(App, { target: document.body, props: { platform } });
else mount(Gallery, { target: document.body });
