export default defineNuxtConfig({ compatibilityDate: '2026-11-29', telemetry: false });
